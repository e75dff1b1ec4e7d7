################################################################################
#
# drawbridge
#
################################################################################

# The sources are the tree that this folder lies in.
DRAWBRIDGE_VERSION = 0.1.0
DRAWBRIDGE_SITE = $(BR2_EXTERNAL_DRAWBRIDGE_PATH)/..
DRAWBRIDGE_SITE_METHOD = local
DRAWBRIDGE_LICENSE = Apache-2.0
DRAWBRIDGE_LICENSE_FILES = LICENSE
HOST_DRAWBRIDGE_LICENSE = Apache-2.0
# legal-info would pack the whole folder, with all that cargo has built in it.
# Who hands on the sources has them from git.
DRAWBRIDGE_REDISTRIBUTE = NO
DRAWBRIDGE_OVERRIDE_SRCDIR_RSYNC_EXCLUSIONS = \
	--exclude=/target \
	--exclude=/tests/fuzz/target \
	--exclude=/tests/browser/node_modules \
	--exclude=/buildroot/output
HOST_DRAWBRIDGE_OVERRIDE_SRCDIR_RSYNC_EXCLUSIONS = \
	$(DRAWBRIDGE_OVERRIDE_SRCDIR_RSYNC_EXCLUSIONS)

# The program that makes the images; its package has the crates for both.
DRAWBRIDGE_DEPENDENCIES = host-drawbridge
DRAWBRIDGE_VENDOR = $(HOST_DRAWBRIDGE_DIR)/VENDOR
DRAWBRIDGE_IMAGE = $(HOST_DIR)/bin/drawbridge-image

# Buildroot vendors crates for sources that it has downloaded, and these are
# local. cargo compares each crate with its SHA-256 in Cargo.lock. The folders'
# names are those that cargo's own cache has, since they get into the binary.
define HOST_DRAWBRIDGE_VENDOR_CRATES
	mkdir -p $(@D)/.cargo $(BR_CARGO_HOME)
	cd $(@D) && \
	$(HOST_MAKE_ENV) $(PKG_COMMON_CARGO_ENV) \
		flock $(BR_CARGO_HOME)/.br-lock \
		cargo vendor --locked --versioned-dirs $(DRAWBRIDGE_VENDOR) \
		> .cargo/config.toml
endef
HOST_DRAWBRIDGE_PRE_CONFIGURE_HOOKS += HOST_DRAWBRIDGE_VENDOR_CRATES

define DRAWBRIDGE_USE_CRATES
	mkdir -p $(@D)/.cargo
	cp $(HOST_DRAWBRIDGE_DIR)/.cargo/config.toml $(@D)/.cargo/config.toml
endef
DRAWBRIDGE_PRE_CONFIGURE_HOOKS += DRAWBRIDGE_USE_CRATES

# It is used for a minute: no need to wait for what makes it small. A folder
# that somebody has set for other work is not the one that is looked into.
HOST_DRAWBRIDGE_CARGO_ENV = \
	CARGO_TARGET_DIR=$(@D)/target \
	CARGO_PROFILE_RELEASE_LTO=off \
	CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
HOST_DRAWBRIDGE_CARGO_BUILD_OPTS = --package drawbridge-image

define HOST_DRAWBRIDGE_INSTALL_CMDS
	$(INSTALL) -D -m 0755 $(@D)/target/release/drawbridge-image \
		$(DRAWBRIDGE_IMAGE)
endef

# How the binary is compiled say Cargo.toml and image/src/binary.rs: Buildroot's
# profile and settings for cargo are taken out of the environment again (all but
# where crates are kept and the target's name), and the flags below are the same
# as there, which buildroot/check compares. Folders of this machine do not get
# into the binary. So it is the same as one built without Buildroot, by the same
# compilers.
DRAWBRIDGE_FOREIGN = \
	CFLAGS CXXFLAGS CPPFLAGS RUSTFLAGS CARGO_ENCODED_RUSTFLAGS \
	$(filter-out CARGO_HOME CARGO_BUILD_TARGET,\
		$(foreach v,$(filter CARGO_% __CARGO_%,$(PKG_CARGO_ENV)),$(firstword $(subst =, ,$(v)))))

# The linker is told by a flag, so that programs which run during the build get
# the host's, although they have the same triple. Rust's own lld, which rustc
# would take if it was not told: GNU ld puts the same together in other places.
DRAWBRIDGE_LINKER = \
	-Clinker=$(notdir $(TARGET_CROSS))gcc \
	-Clink-arg=-B$(HOST_DIR)/lib/rustlib/$(RUSTC_HOST_NAME)/bin/gcc-ld \
	-Clink-arg=-fuse-ld=lld

# Where two fit, the last one counts.
DRAWBRIDGE_REMAPS = \
	$(HOST_DIR)/lib/rustlib/src/rust=/rust \
	$(BR_CARGO_HOME)=/cargo \
	$(@D)=/drawbridge \
	$(DRAWBRIDGE_VENDOR)=/cargo/registry/src/index.crates.io-1949cf8c6b5b557f \
	$(@D)/target=/target

DRAWBRIDGE_RUSTFLAGS = \
	-Ctarget-feature=+crt-static \
	-Crelocation-model=pie \
	--cfg=getrandom_backend=\"linux_raw\" \
	-Clink-arg=-Wl,-z,relro,-z,now,-z,noexecstack \
	-Clink-arg=-Wl,-z,pack-relative-relocs \
	-Clink-arg=-Wl,--build-id=none \
	$(DRAWBRIDGE_LINKER) \
	$(addprefix --remap-path-prefix=,$(DRAWBRIDGE_REMAPS))

DRAWBRIDGE_CARGO_ENV = \
	env $(addprefix -u ,$(sort $(DRAWBRIDGE_FOREIGN))) \
	CARGO_INCREMENTAL=0 \
	CARGO_TARGET_DIR=$(@D)/target \
	CARGO_TARGET_$(call UPPERCASE,$(RUSTC_TARGET_NAME))_RUSTFLAGS="$(DRAWBRIDGE_RUSTFLAGS)" \
	CFLAGS_$(subst -,_,$(RUSTC_TARGET_NAME))="$(addprefix -ffile-prefix-map=,$(DRAWBRIDGE_REMAPS))" \
	$$(env -u SOURCE_DATE_EPOCH $(DRAWBRIDGE_IMAGE) version --workspace $(DRAWBRIDGE_SITE))

# What cargo says of its build tells which crates are in the binary, for the
# bill of materials.
DRAWBRIDGE_CARGO_BUILD_OPTS = \
	--package drawbridge \
	--message-format json-render-diagnostics \
	> $(@D)/cargo-messages.json

DRAWBRIDGE_PROFILE = $(call qstrip,$(BR2_PACKAGE_DRAWBRIDGE_PROFILE))
DRAWBRIDGE_PROFILE_FILE = $(if $(findstring /,$(DRAWBRIDGE_PROFILE)),$(DRAWBRIDGE_PROFILE),$(@D)/board/profiles/$(DRAWBRIDGE_PROFILE).json)

define DRAWBRIDGE_INSTALL_TARGET_CMDS
	$(INSTALL) -D -m 0755 \
		$(@D)/target/$(RUSTC_TARGET_NAME)/$(if $(BR2_ENABLE_DEBUG),debug,release)/drawbridge \
		$(TARGET_DIR)/init
	$(INSTALL) -D -m 0644 $(DRAWBRIDGE_PROFILE_FILE) $(TARGET_DIR)/profile.json
endef

# An older compiler stops in the middle of the first crate, and does not say why
# in a way that helps.
ifeq ($(BR_BUILDING)$(BR2_PACKAGE_DRAWBRIDGE),yy)
DRAWBRIDGE_RUST_WANTED = $(shell sed -n 's/^rust-version = "\(.*\)"$$/\1/p' $(DRAWBRIDGE_SITE)/Cargo.toml)
DRAWBRIDGE_RUST_FOUND = $(if $(BR2_PACKAGE_HOST_RUST),$(RUST_VERSION),$(RUST_BIN_VERSION))
ifneq ($(firstword $(shell printf '%s\n' $(DRAWBRIDGE_RUST_WANTED) $(DRAWBRIDGE_RUST_FOUND) | sort -V)),$(DRAWBRIDGE_RUST_WANTED))
$(error drawbridge needs Rust $(DRAWBRIDGE_RUST_WANTED) or newer, and this Buildroot has $(DRAWBRIDGE_RUST_FOUND): \
	give RUST_BIN_VERSION=1.96.1 to make, as buildroot/Makefile of Drawbridge does)
endif
endif

$(eval $(cargo-package))
$(eval $(host-cargo-package))
