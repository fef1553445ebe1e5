# A thin front to the scripts; the build itself is CMake with Ninja (CMakePresets.json).
.PHONY: help install release demo test test-kube bench lint format fuzz tsan asan clean

help:
	@echo 'make demo     watch a stock Envoy take its configuration from pilotd (KEEP=1 leaves it running)'
	@echo 'make release  build/release/bin/ and build/release/pilotd.desc'
	@echo 'make test     unit tests under ASan+UBSan, then every suite that needs no cluster'
	@echo 'make test-kube  builds a Kubernetes, once for all, then runs the suites that need it'
	@echo 'make bench    load figures; make lint, make format, make fuzz, make asan, make tsan'

install:
	@scripts/install.sh

release: install
	@scripts/build.sh release pd_programs

demo: release
	@tests/demo/run.sh

test: install
	@scripts/test.sh

test-kube: install
	@scripts/test_kube.sh

bench: release
	@scripts/bench.sh

lint: install
	@scripts/lint.sh

format:
	@git ls-files --cached --others --exclude-standard '*.c' '*.h' | xargs clang-format -i

# Seconds for each fuzz target.
FUZZ_SECONDS ?= 20
fuzz: install
	@scripts/run_fuzz.sh $(FUZZ_SECONDS)

# The sanitizer runs that make test leaves out: suites marked "sanitizers: yes" under ASan, everything under TSan.
asan: install
	@scripts/run_suites.sh asan --sanitizers

tsan: install
	@scripts/sanitizers.sh tsan

clean:
	rm -rf build
