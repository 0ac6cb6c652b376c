package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/embed"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	logsapi "k8s.io/component-base/logs/api/v1"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

const (
	startTimeout = 3 * time.Minute
	pollInterval = 50 * time.Millisecond
	serviceRange = "10.96.0.0/16"
	// The controllers that work without nodes: those a custom resource and its RBAC depend on.
	controllers = "namespace-controller,garbage-collector-controller,serviceaccount-controller," +
		"serviceaccount-token-controller,root-ca-certificate-publisher-controller,resourcequota-controller," +
		"clusterrole-aggregation-controller,validatingadmissionpolicy-status-controller"
)

type options struct {
	dir   string
	port  int
	fsync bool
	audit bool
}

func (o options) path(name string) string { return filepath.Join(o.dir, name) }

// serve runs etcd, the API server and the controllers until a signal comes or one of them ends. The file "ready" in the
// folder appears when all of them work, "kubeconfig" holds the administrator's access. Data in the folder is kept.
func serve(args []string) error {
	o := options{}
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	flags.StringVar(&o.dir, "dir", "", "folder for data, keys, kubeconfig and the ready file")
	flags.IntVar(&o.port, "port", 0, "port of the API server on 127.0.0.1")
	flags.BoolVar(&o.fsync, "fsync", true, "let etcd sync each write to the disk")
	flags.BoolVar(&o.audit, "audit", false, "write one line per request to audit.log")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if o.dir == "" || o.port == 0 {
		return errors.New("serve needs --dir and --port")
	}
	ended := make(chan error, 3)
	if err := start(o, ended); err != nil {
		return err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	select {
	case err := <-ended:
		return err
	case <-signals:
		// Leave at once: the API server's graceful stop takes a minute, and etcd's log survives a plain exit.
		os.Exit(0)
	}
	return nil
}

func start(o options, ended chan<- error) error {
	if err := os.RemoveAll(o.path("ready")); err != nil {
		return err
	}
	keys := pki{dir: o.path("pki")}
	if err := keys.ensure(); err != nil {
		return err
	}
	if err := writeKubeconfig(o, keys); err != nil {
		return err
	}
	etcd, err := startEtcd(o)
	if err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	go func() { ended <- fmt.Errorf("etcd: %w", <-etcd.Err()) }()
	// Both components set up logging for the process; the second time must not count as an error.
	logsapi.ReapplyHandling = logsapi.ReapplyHandlingIgnoreUnchanged
	arguments, err := apiServerArguments(o, keys, etcd.Clients[0].Addr().String())
	if err != nil {
		return err
	}
	go run("kube-apiserver", apiserver.NewAPIServerCommand(), arguments, ended)
	config, err := clientcmd.BuildConfigFromFlags("", o.path("kubeconfig"))
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	go func() {
		if err := finish(o, keys, client, ended); err != nil {
			ended <- err
		}
	}()
	return nil
}

// finish starts the controllers once the API server answers and marks the whole as ready.
func finish(o options, keys pki, client kubernetes.Interface, ended chan<- error) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if err := wait(ctx, func() bool {
		return client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error() == nil
	}); err != nil {
		return fmt.Errorf("the API server did not become ready: %w", err)
	}
	go run("kube-controller-manager", controllermanager.NewControllerManagerCommand(), controllerArguments(o, keys), ended)
	// A default service account and the root CA are made by controllers: when both are there, controllers work.
	if err := wait(ctx, func() bool {
		_, account := client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
		_, authority := client.CoreV1().ConfigMaps("default").Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
		return account == nil && authority == nil
	}); err != nil {
		return fmt.Errorf("the controllers did not become ready: %w", err)
	}
	return os.WriteFile(o.path("ready"), []byte(strconv.Itoa(os.Getpid())), 0o600)
}

func wait(ctx context.Context, done func() bool) error {
	for !done() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pollInterval):
		}
	}
	return nil
}

func run(name string, command *cobra.Command, arguments []string, ended chan<- error) {
	command.SetArgs(arguments)
	err := command.Execute()
	ended <- fmt.Errorf("%s ended: %w", name, err)
}

func startEtcd(o options) (*embed.Etcd, error) {
	config := embed.NewConfig()
	config.Dir = o.path("etcd")
	config.LogLevel = "warn"
	config.LogOutputs = []string{"stderr"}
	config.UnsafeNoFsync = !o.fsync
	// Unset it is zero when embedded, and every request is logged as slow.
	config.WarningUnaryRequestDuration = embed.DefaultWarningUnaryRequestDuration
	// Port 0: only this process talks to etcd and it asks the listener for the port.
	anyPort := url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	config.ListenClientUrls = []url.URL{anyPort}
	config.ListenPeerUrls = []url.URL{anyPort}
	etcd, err := embed.StartEtcd(config)
	if err != nil {
		return nil, err
	}
	select {
	case <-etcd.Server.ReadyNotify():
		return etcd, nil
	case err := <-etcd.Err():
		return nil, err
	case <-time.After(startTimeout):
		return nil, errors.New("not ready in time")
	}
}

func apiServerArguments(o options, keys pki, etcd string) ([]string, error) {
	arguments := []string{
		"--etcd-servers=http://" + etcd,
		"--bind-address=127.0.0.1",
		"--secure-port=" + strconv.Itoa(o.port),
		"--endpoint-reconciler-type=none",
		"--service-cluster-ip-range=" + serviceRange,
		"--tls-cert-file=" + keys.path("server.crt"),
		"--tls-private-key-file=" + keys.path("server.key"),
		"--client-ca-file=" + keys.path("ca.crt"),
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + keys.path("service-account.key"),
		"--service-account-signing-key-file=" + keys.path("service-account.key"),
		"--authorization-mode=RBAC",
	}
	if !o.audit {
		return arguments, nil
	}
	policy := "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: Metadata}]\n"
	if err := os.WriteFile(o.path("audit-policy.yaml"), []byte(policy), 0o600); err != nil {
		return nil, err
	}
	return append(arguments,
		"--audit-policy-file="+o.path("audit-policy.yaml"), "--audit-log-path="+o.path("audit.log")), nil
}

func controllerArguments(o options, keys pki) []string {
	return []string{
		"--kubeconfig=" + o.path("kubeconfig"),
		"--leader-elect=false",
		"--secure-port=0",
		// Each controller under its own account: the administrator's own rights lack some of theirs.
		"--use-service-account-credentials=true",
		"--service-account-private-key-file=" + keys.path("service-account.key"),
		"--root-ca-file=" + keys.path("ca.crt"),
		"--kube-api-qps=500",
		"--kube-api-burst=1000",
		"--resource-quota-sync-period=5s",
		"--controllers=" + controllers,
	}
}

func writeKubeconfig(o options, keys pki) error {
	files := map[string][]byte{}
	for _, name := range []string{"ca.crt", "admin.crt", "admin.key"} {
		content, err := os.ReadFile(keys.path(name))
		if err != nil {
			return err
		}
		files[name] = content
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["lab"] = &clientcmdapi.Cluster{
		Server:                   fmt.Sprintf("https://127.0.0.1:%d", o.port),
		CertificateAuthorityData: files["ca.crt"],
	}
	config.AuthInfos["admin"] = &clientcmdapi.AuthInfo{
		ClientCertificateData: files["admin.crt"], ClientKeyData: files["admin.key"],
	}
	config.Contexts["lab"] = &clientcmdapi.Context{Cluster: "lab", AuthInfo: "admin"}
	config.CurrentContext = "lab"
	return clientcmd.WriteToFile(*config, o.path("kubeconfig"))
}
