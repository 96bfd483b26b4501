# SPDX-License-Identifier: MIT
# The Python module: $(B)/python/dsm/, and where make install puts it.
#
# It finds libdsm beside itself: two folders up in the build tree, three when installed.
PYTHON ?= /usr/bin/python3
PYTHON_SRCS := $(sort $(wildcard lib/python/*.c))
PYTHON_OBJS := $(PYTHON_SRCS:%.c=$(B)/%.o)
PYTHON_FILES := $(wildcard lib/python/dsm/*.py lib/python/dsm/*.pyi lib/python/dsm/py.typed)
PYTHON_MODULE := $(B)/python/dsm/_dsm.abi3.so
-include $(PYTHON_OBJS:.o=.d)

# The distribution's own directory for prefix /usr, that of the version for others.
PYTHON_LIB := $(if $(filter /usr,$(PREFIX)),python3,$(shell \
	$(PYTHON) -c 'import sys; print("python%d.%d" % sys.version_info[:2])' 2>/dev/null || echo python3))
PYTHONDIR = $(LIBDIR)/$(PYTHON_LIB)/dist-packages/dsm

$(PYTHON_OBJS): PKG += python3

$(PYTHON_MODULE): $(PYTHON_OBJS) $(B)/libdsm.so
	@mkdir -p $(@D)
	$(call say,LD)
	$(Q)$(CC) $(LDFLAGS) -shared -o $@ $(PYTHON_OBJS) -L$(B) -ldsm \
		'-Wl,-rpath,$$ORIGIN/../..:$$ORIGIN/../../..'

# The package is the tree's own files, so that an edit needs no make.
PYTHON_LINKS := $(PYTHON_FILES:lib/python/%=$(B)/python/%)
$(PYTHON_LINKS): $(B)/python/%: lib/python/%
	@mkdir -p $(@D)
	@ln -sf $(CURDIR)/$< $@

.PHONY: python
python: $(PYTHON_MODULE) $(PYTHON_LINKS)

# ThreadSanitizer wants Python itself built with it.
ifneq ($(VARIANT),tsan)
LIBRARIES += $(PYTHON_MODULE) $(PYTHON_LINKS)
endif
