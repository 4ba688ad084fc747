package services

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
)

// askElasticsearch asks for the cluster's name and version (Elasticsearch guide,
// "Cluster info API"; the same of OpenSearch).
var askElasticsearch = overHTTP(question{http.MethodGet, "/", "", judgeElasticsearch})

func judgeElasticsearch(a answer) (Openness, string, error) {
	if a.refuses() {
		return Protected, a.line(), nil
	}
	var info struct {
		Cluster string `json:"cluster_name"`
		Version struct {
			Number       string `json:"number"`
			Distribution string `json:"distribution"`
		} `json:"version"`
	}
	if json.Unmarshal(a.body, &info) != nil || info.Cluster == "" || info.Version.Number == "" {
		return "", "", errUnexpected
	}
	kind := info.Version.Distribution
	if kind == "" {
		kind = "elasticsearch"
	}
	return Open, fmt.Sprintf("%s %s, cluster %s", kind, info.Version.Number, info.Cluster), nil
}

// askDocker asks for the engine's version (Docker Engine API, SystemVersion).
// Without a plugin for it the API knows no request that a stranger may make and
// others that a stranger may not.
var askDocker = overHTTP(question{http.MethodGet, "/version", "", judgeDocker})

func judgeDocker(a answer) (Openness, string, error) {
	if a.refuses() {
		return Protected, a.line(), nil
	}
	var version struct {
		Version    string
		APIVersion string `json:"ApiVersion"`
	}
	if a.status != http.StatusOK || json.Unmarshal(a.body, &version) != nil || version.APIVersion == "" {
		return "", "", errUnexpected
	}
	return Open, fmt.Sprintf("version %s, API %s", version.Version, version.APIVersion), nil
}

// askJupyter asks for the kernels that run (Jupyter Server, "REST API").
var askJupyter = overHTTP(question{http.MethodGet, "/api/kernels", "", judgeJupyter})

func judgeJupyter(a answer) (Openness, string, error) {
	if a.refuses() || a.status == http.StatusFound && strings.Contains(a.header.Get("Location"), "/login") {
		return Protected, a.line(), nil
	}
	var kernels []struct {
		ID string `json:"id"`
	}
	if a.status != http.StatusOK || json.Unmarshal(a.body, &kernels) != nil || kernels == nil {
		return "", "", errUnexpected
	}
	for _, k := range kernels {
		if k.ID == "" {
			return "", "", errUnexpected
		}
	}
	return Open, fmt.Sprintf("200 OK, kernels that run: %d", len(kernels)), nil
}

// etcdPrefixes are where versions of etcd have the JSON gateway of their API: 3.4
// and later, 3.3, 3.2 and before (etcd documentation, "Why gRPC gateway").
var etcdPrefixes = []string{"/v3", "/v3beta", "/v3alpha"}

// etcdRange counts one key, the byte 0, in what this member has: the least that
// needs permission to read, and no work for the others of a cluster.
const etcdRange = `{"key":"AA==","count_only":true,"serializable":true}`

// askEtcd asks each version's path until one is there.
func askEtcd(ctx context.Context, to netip.AddrPort) (Greeting, error) {
	var first Greeting
	for i, prefix := range etcdPrefixes {
		missing := false
		ask := overHTTP(question{http.MethodPost, prefix + "/kv/range", etcdRange, func(a answer) (Openness, string, error) {
			missing = a.status == http.StatusNotFound
			return judgeEtcd(a)
		}})
		greeting, err := ask(ctx, to)
		if err != nil || !missing {
			return greeting, err
		}
		if i == 0 {
			first = greeting
		}
	}
	return first, nil
}

func judgeEtcd(a answer) (Openness, string, error) {
	if a.refuses() {
		return Protected, a.line(), nil
	}
	var got struct {
		Header struct {
			Cluster  string `json:"cluster_id"`
			Revision string `json:"revision"`
		} `json:"header"`
		Error string `json:"error"`
	}
	if json.Unmarshal(a.body, &got) != nil {
		return "", "", errUnexpected
	}
	switch {
	case a.status == http.StatusOK && got.Header.Cluster != "":
		return Open, fmt.Sprintf("cluster %s, revision %s", got.Header.Cluster, got.Header.Revision), nil
	// What the server says to a request without a user where authentication is
	// on (ErrUserEmpty of etcd's api/v3rpc/rpctypes).
	case strings.Contains(got.Error, "user name is empty"):
		return Protected, a.line(), nil
	}
	return "", "", errUnexpected
}
