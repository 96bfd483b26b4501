# SPDX-License-Identifier: MIT
# Tests, benches, demo and lint: thin rules over the scripts that do the work.

.PHONY: test test-build selftests test-kernels test-debug-kernel test-mutants sim bench lint demo debug

help:
	@sed -n 's/^#: //p' $(lastword $(MAKEFILE_LIST))

#: make              programs, library and examples into build/release/
#: make debug        the same without optimisation, into build/debug/
#: make VARIANT=asan the same under ASan and UBSan (tsan: ThreadSanitizer)
#: make modules      dsm.ko for this kernel (KDIR=... for another)
#: make install      PREFIX=/usr/local DESTDIR=; also uninstall, modules_install
#: make demo         two VMs, the module, heat over one memory; PAGER=uffd: without VMs
#: make test         every suite; last line "N passed, N failed"
#: make test SUITES="unit cluster"   only these (scripts/suites.list has all)
#: make selftests    the module's tests in a VM with Linux 6.1
#: make test-kernels the same on 6.1, 6.12 and the newest kernel
#: make test-debug-kernel   selftests and two-VM cases on a kernel that checks itself (built once)
#: make test-mutants each deliberate break is found by some suite
#: make sim          100,000 schedules of the protocol core
#: make bench        the speed table, build/bench.json, and heaps drawn; FIGURES="map_get ..." only these
#: make lint         checkpatch, sparse, clang-tidy, shellcheck and others; LINTS="tidy ..." only these
#: make docs         the API reference (Doxygen) into build/docs/html
#: make deps         install every Debian package that any of these needs
#: make clean        remove build/

debug:
	+$(MAKE) VARIANT=debug all

test-build: | build/.deps-test
	+$(MAKE) programs units tools
	+$(MAKE) VARIANT=asan units tools programs
	+$(MAKE) VARIANT=tsan units

test: test-build
	scripts/run-suites.sh $(SUITES)

sim: | build/.deps-test
	+$(MAKE) build/release/sim
	scripts/run-suites.sh sim

selftests: | build/.deps-vm
	+$(MAKE) programs
	scripts/run-suites.sh selftests

test-kernels: | build/.deps-vm
	+$(MAKE) programs
	scripts/run-suites.sh selftests-6.1 selftests-6.12 selftests-new

test-debug-kernel: | build/.deps-vm build/.deps-test
	+$(MAKE) programs tools
	scripts/run-suites.sh selftests-debug cluster-vm-debug

test-mutants: test-build
	scripts/test-mutants.sh $(MUTANTS)

bench: | build/.deps-bench
	+$(MAKE) programs tools
	tests/bench/bench.py $(FIGURES)
	$(if $(FIGURES),,tests/bench/plot_heap.py)

lint: | build/.deps-lint
	scripts/lint.sh $(LINTS)

demo: | build/.deps-test
	+$(MAKE) programs build/release/heat
	scripts/demo-$(PAGER)$(if $(filter uffd,$(PAGER)),.py,.sh)

# For the scripts: make -s print-UNIT
print-%:
	@echo $($*)
