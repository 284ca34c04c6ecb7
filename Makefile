# SPDX-License-Identifier: GPL-2.0
# The two commands are "make demo" and "make check"; "make help" lists the others.

VERSION := $(shell sed -n 's/^PACKAGE_VERSION="\(.*\)"/\1/p' dkms.conf)
PREFIX ?= /usr/local
DESTDIR ?=

# The running kernel's headers, if it has any; KDIR= for another kernel's.
KDIR ?= $(wildcard /lib/modules/$(shell uname -r)/build)
# kbuild writes beside its sources, so it gets a copy.
MODULE_BUILD := $(CURDIR)/build/module
DKMS_SOURCE := /usr/src/mmapdemo-$(VERSION)
module-files := Kbuild module/Kbuild $(wildcard module/uapi/linux/*.h) \
	$(filter-out %.mod.c,$(wildcard module/*.[ch]))
copy-module = install -d $(1) && cp --preserve=timestamps --parents $(module-files) $(1)

all: userspace $(if $(KDIR),modules)

demo:
	selftests/vm/setup demo
	$(MAKE) -s userspace
	selftests/vm/run -k 6.12 -- mmapdemo tour

check:
	selftests/vm/setup check
	selftests/check/all

# The kernel tests on the debug kernel, and which lines of the module they ran.
coverage:
	selftests/vm/setup check
	$(MAKE) -s selftests
	selftests/check/coverage

# Too slow for every check: the tests in which several tasks meet.
check-kcsan:
	selftests/vm/setup check
	$(MAKE) -s selftests
	selftests/check/kcsan

soak:
	selftests/vm/setup check
	$(MAKE) -s userspace selftests
	selftests/vm/soak --minutes $(or $(MINUTES),30)

userspace:
	$(MAKE) -C userspace VERSION=$(VERSION) PREFIX=$(PREFIX)

selftests: userspace
	$(MAKE) -C selftests

modules modules_install: module-sources
	$(if $(KDIR),,$(error There are no headers of the running kernel $(shell uname -r). \
		Install them, or name another kernel's: make $@ KDIR=/lib/modules/RELEASE/build))
	$(MAKE) -C $(KDIR) M=$(MODULE_BUILD) $(if $(DESTDIR),INSTALL_MOD_PATH=$(DESTDIR)) $@

modules_install: modules

module-sources:
	$(call copy-module,$(MODULE_BUILD))

install: userspace
	$(MAKE) -C userspace VERSION=$(VERSION) PREFIX=$(PREFIX) DESTDIR=$(DESTDIR) install

# For "dkms install mmapdemo/$(VERSION)", which builds the module for every kernel that comes.
dkms-source:
	$(call copy-module,$(DESTDIR)$(DKMS_SOURCE))
	install -m 644 dkms.conf $(DESTDIR)$(DKMS_SOURCE)

clean:
	rm -rf build

help:
	@echo 'make demo             watch a device take page faults: in a virtual machine, with Linux 6.12'
	@echo 'make check            all tests, on Linux 6.1, 6.12 and 7.2, and on a debug kernel'
	@echo 'make coverage         the kernel tests on the debug kernel, and which lines of the module they ran'
	@echo 'make check-kcsan      the concurrent tests on a kernel that looks for data races'
	@echo 'make soak             everything at once for half an hour, or for MINUTES=n'
	@echo
	@echo 'make                  the library, the command, and the module if the running kernel has headers'
	@echo 'make userspace        the library and the command'
	@echo 'make selftests        the test programs'
	@echo 'make modules          the module, KDIR=/lib/modules/RELEASE/build for another kernel'
	@echo 'make modules_install  installs it there'
	@echo 'make install          installs the library and the command: PREFIX=$(PREFIX) DESTDIR='
	@echo 'make dkms-source      puts the module where "dkms install mmapdemo/$(VERSION)" finds it'
	@echo 'make clean            removes build/, into which all of this builds'

.PHONY: all demo check coverage check-kcsan soak userspace selftests modules modules_install module-sources install dkms-source clean help
