package main

import (
	"bufio"
	"bytes"
	stdjson "encoding/json"
	"fmt"
	"io"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"
)

// maxObject bounds one input line in bytes: the API server stores no object above 1.5 MiB, rendered JSON is larger.
const maxObject = 16 << 20

type verdict struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

// kstatus reads one JSON object a line and writes one verdict a line, as GitOps tools compute it.
func kstatus(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, 1<<20), maxObject)
	writer := bufio.NewWriter(out)
	defer writer.Flush()
	encoder := stdjson.NewEncoder(writer)
	for number := 1; lines.Scan(); number++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		// The apimachinery decoder keeps integers integers; with encoding/json the generation is a float and
		// every object counts as broken.
		var object map[string]any
		if err := json.Unmarshal(lines.Bytes(), &object); err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
		result, err := status.Compute(&unstructured.Unstructured{Object: object})
		if err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
		if err := encoder.Encode(verdict{Status: result.Status.String(), Message: result.Message}); err != nil {
			return err
		}
	}
	return lines.Err()
}
