# Of OpenWrt's include/package.mk: unpacks the tarball once its hash is right, installs to $(WORK)/root and
# writes $(WORK)/control, $(WORK)/conffiles and $(WORK)/postinst-pkg.

define BuildPackage
all: export CONFFILES=$$(Package/$(1)/conffiles)
all: export DESCRIPTION=$$(Package/$(1)/description)
all: export FIELDS=$$(Package/$(1))
all: export POSTINST=$$(Package/$(1)/postinst)
all:
	echo '$$(PKG_HASH)  $$(patsubst file://%,%,$$(PKG_SOURCE_URL))/$$(PKG_SOURCE)' | sha256sum -c --status
	mkdir -p $$(BUILD_DIR) $$(WORK)/root
	tar -C $$(BUILD_DIR) -xf $$(patsubst file://%,%,$$(PKG_SOURCE_URL))/$$(PKG_SOURCE)
	$$(call Package/$(1)/install,$$(WORK)/root)
	echo "$$$$CONFFILES" >$$(WORK)/conffiles
	echo "$$$$POSTINST" >$$(WORK)/postinst-pkg
	{ echo 'Package: $(1)'; \
	echo 'Version: $$(PKG_VERSION)-r$$(PKG_RELEASE)'; \
	echo "$$$$FIELDS" | sed -n 's/^ *DEPENDS:=\(@([^)]*) \)*/Depends: libc, /p' | sed 's/ +/ /g'; \
	echo 'License: $$(PKG_LICENSE)'; \
	echo "$$$$FIELDS" | sed -n -e 's/^ *SECTION:=/Section: /p' -e 's/^ *USERID:=/Require-User: /p'; \
	echo "$$$$DESCRIPTION" | sed -e '1s/^ */Description: /' -e '2,$$$$s/^ */ /'; \
	} >$$(WORK)/control
endef
