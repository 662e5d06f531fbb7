# What openwrt/Makefile needs of OpenWrt's build system, so that packaging/ipk makes the package from
# it without an SDK, and it stays the one list of what is installed where.

INCLUDE_DIR:=$(TOPDIR)
BUILD_DIR:=$(WORK)/build
INSTALL_DIR:=install -d -m 755
INSTALL_BIN:=install -m 755
INSTALL_DATA:=install -m 644
INSTALL_CONF:=install -m 600
