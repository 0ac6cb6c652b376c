// Command controlplane is the lab's Kubernetes in one program.
//
// It decides nothing by itself: it starts the upstream etcd, API server and controller manager with fixed settings, and
// under the names kubectl and kstatus it is the upstream client and the upstream status library. One program, because
// the parts share nearly all of their code and compiling it takes minutes.
//
// It never serves anything outside the loopback interface and never runs pods: there is no scheduler and no kubelet.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	name := filepath.Base(os.Args[0])
	if name != "kubectl" && name != "kstatus" && len(os.Args) > 1 {
		name = os.Args[1]
		os.Args = os.Args[1:]
	}
	var err error
	switch name {
	case "serve":
		err = serve(os.Args[1:])
	case "kubectl":
		kubectl()
	case "kstatus":
		err = kstatus(os.Stdin, os.Stdout)
	default:
		err = fmt.Errorf("usage: controlplane serve|kubectl|kstatus [arguments]")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "controlplane:", err)
		os.Exit(1)
	}
}
