# SPDX-License-Identifier: MIT
# make docs: the API reference; a warning is an error.
.PHONY: docs
docs: | build/.deps-docs
	@mkdir -p build/docs
	@(cat docs/Doxyfile; echo 'PROJECT_NUMBER = $(VERSION)'; echo 'OUTPUT_DIRECTORY = build/docs') | \
		doxygen - 2>build/docs/warnings || { cat build/docs/warnings; exit 1; }
	@if [ -s build/docs/warnings ]; then cat build/docs/warnings; exit 1; fi
	@echo build/docs/html/index.html
