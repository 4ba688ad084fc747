package report

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/onsi/gomega"
)

// scrapeDeadline bounds the start of a server and the scrapes after it, of which one
// is made each second; a busy machine may need many times that.
const scrapeDeadline = 60 * time.Second

// listening is what both servers say of the address that they came to listen on.
var listening = regexp.MustCompile(`msg="Listening on" address=(?:\[::\]|127\.0\.0\.1):([0-9]+)`)

// serverOf starts a Debian package's server, which ends with the test, and returns the
// port that it chose. The test is skipped where there is none.
func serverOf(ctx context.Context, t *testing.T, program string, args ...string) (port string) {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("no %s: install Debian's package of that name", program)
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "GOMAXPROCS=1"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	lines := bufio.NewScanner(said)
	for port == "" && lines.Scan() {
		fmt.Fprintln(&log, lines.Text())
		if found := listening.FindStringSubmatch(lines.Text()); found != nil {
			port = found[1]
		}
	}
	rest := make(chan struct{})
	go func() {
		defer close(rest)
		_, _ = io.Copy(io.Discard, said)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-rest
		_ = cmd.Wait()
	})
	if port == "" {
		t.Fatalf("%s does not listen:\n%s", program, log.String())
	}
	return port
}

// queried is what Prometheus answers: the value of each series, by the label, and
// that alone where there is one.
func queried(ctx context.Context, port, label, query string) (map[string]string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:"+port+"/api/v1/query?query="+url.QueryEscape(query), nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	var answer struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return nil, err
	}
	values := map[string]string{}
	for _, series := range answer.Data.Result {
		values[series.Metric[label]] = fmt.Sprint(series.Value[1])
	}
	return values, nil
}

// The textfile collector of node_exporter reads what is written, and Prometheus
// scrapes all of it from there; nothing of it is a mistake to either, hostile names
// included.
func TestPrometheusScrapesTheFile(t *testing.T) {
	runtime.LockOSThread() // the servers die with the thread that started them
	defer runtime.UnlockOSThread()
	ctx, cancel := context.WithTimeout(t.Context(), scrapeDeadline)
	defer cancel()
	dir := t.TempDir()
	r := fixture(t)
	metrics := rendered(t, OpenMetrics(r))
	if err := os.WriteFile(filepath.Join(dir, "loopcheck.prom"), metrics, 0o644); err != nil {
		t.Fatal(err)
	}
	exporter := serverOf(ctx, t, "prometheus-node-exporter", "--collector.disable-defaults", "--collector.textfile",
		"--collector.textfile.directory="+dir, "--web.listen-address=127.0.0.1:0")
	config := filepath.Join(dir, "prometheus.yml")
	text := "global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs: [{job_name: node, static_configs: [{targets: ['127.0.0.1:" + exporter + "']}]}]\n"
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	prometheus := serverOf(ctx, t, "prometheus", "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address=127.0.0.1:0")

	series := 0
	for line := range strings.Lines(string(metrics)) {
		if !strings.HasPrefix(line, "#") {
			series++
		}
	}
	ask := func(label, query string) func() (map[string]string, error) {
		return func() (map[string]string, error) { return queried(ctx, prometheus, label, query) }
	}
	eventually := gomega.NewWithT(t).Eventually
	eventually(ask("job", `count by (job) ({__name__=~"loopcheck_.*"})`)).WithTimeout(scrapeDeadline).
		Should(gomega.Equal(map[string]string{"node": strconv.Itoa(series)}), "how many series there are")
	eventually(ask("job", `up`)).WithTimeout(scrapeDeadline).Should(gomega.Equal(map[string]string{"node": "1"}))
	eventually(ask("job", `node_textfile_scrape_error`)).WithTimeout(scrapeDeadline).Should(gomega.Equal(map[string]string{"node": "0"}))
	eventually(ask("hostname", `loopcheck_host_info`)).WithTimeout(scrapeDeadline).
		Should(gomega.Equal(map[string]string{HarmlessCopy(r).Host.Hostname: "1"}))
	eventually(ask("check", `loopcheck_check_state{state="fail"}`)).WithTimeout(scrapeDeadline).
		Should(gomega.Equal(map[string]string{"PING-002": "1", "TCP-005": "1"}))
}
