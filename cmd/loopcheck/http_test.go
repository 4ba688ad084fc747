package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/loopcheck/loopcheck/harness/report/reporttest"
	"github.com/loopcheck/loopcheck/harness/webcheck"
	"github.com/loopcheck/loopcheck/probe/webserver"
)

func TestHTTPOfARunsOwnServer(t *testing.T) {
	server, err := webserver.Start(t.Context(), webserver.Config{})
	if err != nil {
		t.Fatal(err)
	}
	cmd := loopcheck(t, "http", "http://"+server.Addr().String()+"/", "--json", "--header", "Authorization: Bearer secret-1", "--header=Cookie: session=secret-2")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s%s", err, out.String(), errs.String())
	}
	if err := reporttest.CheckHTTP(out.Bytes()); err != nil || errs.Len() > 0 {
		t.Errorf("%v\n%s", err, errs.String())
	}
	var result webcheck.Result
	if err := json.Unmarshal(out.Bytes(), &result); err != nil {
		t.Fatal(err)
	}
	if got := result.Command[4:]; !slices.Equal(got, []string{"--header", "Authorization: ...", "--header=Cookie: ..."}) || strings.Contains(out.String(), "secret-") {
		t.Errorf("the values of headers are shown: %q", result.Command)
	}
}

// A signal ends the wait for a server that never answers, and what was found is
// printed.
func TestHTTPIsInterrupted(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	cmd := loopcheck(t, "http", "http://"+listener.Addr().String()+"/", "--timeout", "1h", "--json")
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.ReadFull(conn, make([]byte, 3)); err != nil { // it has asked
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	err = cmd.Wait()
	if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != exitInterrupted {
		t.Errorf("it ended with %v", err)
	}
	if err := reporttest.CheckHTTP(out.Bytes()); err != nil {
		t.Error(err)
	}
}
