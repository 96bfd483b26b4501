# SPDX-License-Identifier: MIT
# make install, make uninstall, make modules, make modules_install

BINDIR := $(PREFIX)/bin
LIBDIR := $(PREFIX)/lib
INCDIR := $(PREFIX)/include
MANDIR := $(PREFIX)/share/man
UNITDIR := $(PREFIX)/lib/systemd/system
COMPDIR := $(PREFIX)/share/bash-completion/completions
PCDIR := $(LIBDIR)/pkgconfig
INSTALL ?= install

MAN_PAGES := $(wildcard docs/man/*.[1-8])
HEADERS := $(wildcard lib/include/*.h lib/include/*/*.h)

# DESTINATION MODE SOURCE, one line each: what install copies and uninstall removes.
define INSTALLED
$(foreach p,$(PROGS),$(BINDIR)/$(notdir $(p)) 755 $(B)/$(p)
)$(LIBDIR)/libdsm.so.0 755 $(B)/libdsm.so.0
$(LIBDIR)/libdsm.a 644 $(B)/libdsm.a
$(foreach h,$(HEADERS),$(INCDIR)/$(h:lib/include/%=%) 644 $(h)
)$(INCDIR)/linux/dsm.h 644 uapi/linux/dsm.h
$(PCDIR)/dsm.pc 644 $(B)/dsm.pc
$(foreach f,$(PYTHON_FILES),$(PYTHONDIR)/$(notdir $(f)) 644 $(f)
)$(PYTHONDIR)/$(notdir $(PYTHON_MODULE)) 755 $(PYTHON_MODULE)
$(foreach m,$(MAN_PAGES),$(MANDIR)/man$(subst .,,$(suffix $(m)))/$(notdir $(m)) 644 $(m)
)$(COMPDIR)/dsm 644 docs/completion/dsm.bash
$(UNITDIR)/dsmd.service 644 $(B)/dsmd.service
endef
export INSTALLED

.PHONY: install uninstall modules modules_install

$(B)/dsm.pc: lib/dsm.pc.in Makefile
	@mkdir -p $(@D)
	sed -e 's|@PREFIX@|$(PREFIX)|g; s|@LIBDIR@|$(LIBDIR)|g; s|@VERSION@|$(VERSION)|g' $< >$@
$(B)/dsmd.service: docs/dsmd.service Makefile
	@mkdir -p $(@D)
	sed -e 's|@BINDIR@|$(BINDIR)|g; s|@PREFIX@|$(PREFIX)|g' $< >$@
# Both hold the prefix of this very call.
.PHONY: $(B)/dsm.pc $(B)/dsmd.service

install: programs $(B)/dsm.pc $(B)/dsmd.service
	@printf '%s\n' "$$INSTALLED" | while read -r to mode from; do \
		[ -n "$$to" ] || continue; \
		$(INSTALL) -D -m "$$mode" "$$from" "$(DESTDIR)$$to" || exit 1; \
	done
	ln -sf libdsm.so.0 "$(DESTDIR)$(LIBDIR)/libdsm.so"
	@[ -n "$(DESTDIR)" ] || ldconfig 2>/dev/null || :

uninstall:
	@printf '%s\n' "$$INSTALLED" | while read -r to mode from; do \
		[ -n "$$to" ] || continue; \
		rm -f "$(DESTDIR)$$to" || exit 1; \
	done
	rm -f "$(DESTDIR)$(LIBDIR)/libdsm.so"
	rm -rf "$(DESTDIR)$(PYTHONDIR)/__pycache__"
	@rmdir "$(DESTDIR)$(INCDIR)/dsm" "$(DESTDIR)$(PYTHONDIR)" 2>/dev/null || :

# The module is built in a copy: kbuild's `clean` removes every .ko it finds, and no object
# of one kernel may meet those of another. KDIR names the kernel's build tree.
KVER ?= $(shell uname -r)
KDIR ?= /lib/modules/$(KVER)/build
MODDIR := $(CURDIR)/build/module-$(notdir $(KVER))

modules: | build/.deps-build
	@[ -d "$(KDIR)" ] || { echo "no kernel headers at $(KDIR): install linux-headers-$(KVER), or set KDIR" >&2; exit 1; }
	@mkdir -p $(MODDIR)
	cp -pru Kbuild kmod uapi $(MODDIR)/
	+$(MAKE) -C $(KDIR) M=$(MODDIR) $(if $(MUTANT),KCFLAGS=-DDSM_MUTANT_$(MUTANT)) modules

modules_install: modules
	+$(MAKE) -C $(KDIR) M=$(MODDIR) $(if $(DESTDIR),INSTALL_MOD_PATH=$(DESTDIR)) modules_install
