# Everything is made by Go alone; `make help` lists the targets.

GO      ?= go
VERSION ?= $(shell git describe --tags --dirty 2>/dev/null || echo 0.1.0)
COMMIT  ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null)
# Flags for the tests: make test TESTFLAGS='-v -run Journal'
TESTFLAGS ?=
# Runs of each kind: make soak N=100
N       ?= 10
# Flags for the peers: make bench-peers PEERSFLAGS='--only tcp/rr --markdown'
PEERSFLAGS ?=

export CGO_ENABLED = 0
BUILD    = $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)'
BINARY   = bin/loopcheck
SYSTEMS  = linux/amd64 linux/arm64 darwin/arm64 freebsd/amd64 windows/amd64

.DEFAULT_GOAL = help
.PHONY: run test bench bench-peers lint vuln build dist sample docs soak faultlab clean help

run: build ## check this machine's loopback and write reports/latest/report.html
	@$(BINARY) run

test: ## run every test
	$(GO) test -count=1 -timeout 20m $(TESTFLAGS) ./...

bench: build ## measure what loopcheck itself costs
	$(GO) test -run '^$$' -bench . -benchmem ./...

bench-peers: ## measure loopcheck beside C and other tools, in turn: some 20 minutes
	@$(GO) build -o bin/peers ./bench/peers
	@bin/peers $(PEERSFLAGS)

lint: bin/tools ## check format, vet on every system, static analysis, modules
	@files=$$(bin/tools/gofumpt -l .) && test -z "$$files" || { echo "$$files"; echo 'not formatted: run bin/tools/gofumpt -w .'; exit 1; }
	@for system in linux darwin windows freebsd; do echo "vet $$system"; GOOS=$$system $(GO) vet ./... || exit 1; done
	bin/tools/staticcheck ./... ./.ci/verdict
	$(GO) mod tidy -diff

vuln: bin/tools ## look for known vulnerabilities in the dependencies (asks the Go vulnerability database)
	bin/tools/govulncheck ./...

bin/tools: tools/go.mod tools/go.sum
	$(GO) build -C tools -o ../bin/tools/ tool
	@touch bin/tools

build: ## build bin/loopcheck
	@$(BUILD) -o $(BINARY) ./cmd/loopcheck

dist: ## build dist/ for every system, with checksums
	@rm -rf dist && mkdir -p dist
	@for system in $(SYSTEMS); do \
		os=$${system%/*}; arch=$${system#*/}; suffix=; test $$os != windows || suffix=.exe; \
		echo "dist/loopcheck-$$os-$$arch$$suffix"; \
		GOOS=$$os GOARCH=$$arch $(BUILD) -o dist/loopcheck-$$os-$$arch$$suffix ./cmd/loopcheck || exit 1; \
	done
	@cd dist && sha256sum loopcheck-* > SHA256SUMS

sample: build ## make the committed samples anew, and what README and docs/bench.md show of them
	$(BINARY) run
	@mkdir -p reports/sample
	@cp reports/latest/report.json reports/latest/report.html reports/latest/report.junit.xml reports/sample/
	cd reports/sample && ../../$(BINARY) bench --out bench.json
	cd reports/sample && ../../$(BINARY) bench --transport tcp --placement same-core --rate 1000,20000,400000 --out bench-rate.json
	cd reports/sample && ../../$(BINARY) bench --transport unix --placement same-core --sweep size --out bench-sweep.json
	$(GO) test -count=1 ./cmd/loopcheck -run 'TestReadmeShowsTheSample|TestThePageShowsWhatBenchPrints' -update

docs: ## make docs/checks.md anew from the checks
	$(GO) test -count=1 ./cmd/loopcheck -run TestChecksAreDocumented -update

soak: build ## run loopcheck N times in each surroundings and on each machine in order: no false alarm, nothing left
	$(GO) run ./lab/soak -n $(N) -variant all -keep-going -- $(abspath $(BINARY)) run --json --out ''
	$(GO) run ./lab/faultlab -faults=false -n $(N) $(BINARY)

faultlab: build ## inject every fault, see what loopcheck finds, and make docs/detection.md anew
	$(GO) run ./lab/faultlab -v -sample 12 -o docs/detection.md $(BINARY)

clean: ## remove what was built; reports stay
	rm -rf bin dist

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
