package main

import (
	"os"

	_ "k8s.io/client-go/plugin/pkg/client/auth" // the credential plugins a kubeconfig may name
	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	"k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"
)

// kubectl is the upstream client with the arguments of this process.
func kubectl() {
	// Verbosity has to be known before the command is built, or plugin look-up and .kuberc are never logged.
	logs.GlogSetter(cmd.GetLogVerbosity(os.Args)) //nolint:errcheck // an odd value is reported by the command itself
	if err := cli.RunNoErrOutput(cmd.NewDefaultKubectlCommand()); err != nil {
		util.CheckErr(err)
	}
}
