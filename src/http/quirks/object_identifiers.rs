//! Removes aws-lc's table of all object identifiers: 56 KB of names that are never looked up.
//!
//! Upstream: aws-lc 0.47.0 (`parse_key_type` of `crypto/evp_extra/evp_asn1.c`) looks up (`crypto/obj/obj.c`)
//! the identifiers of unusual keys: RSA keys in a form before PKCS #1, and post-quantum keys with their
//! identifier. webpki passes keys without it, those of ML-DSA too. Curves are looked up by name
//! (`crypto/fipsmodule/evp/p_ec.c`) for options in text form, which aws-lc-rs does not use.
//!
//! Here: the linker replaces the lookups by these functions (`build.rs`), which find nothing, and omits the
//! table. Another version of aws-lc has other symbol names: the table returns until they are updated.
//!
//! Test: `packaging/cross/size --check` detects the table, and all tests over HTTPS detect keys that are read
//! wrongly.

use std::ffi::c_int;

/// `NID_undef` of `openssl/nid.h`: nothing found.
const UNKNOWN: c_int = 0;

#[unsafe(export_name = "__wrap_aws_lc_0_47_0_OBJ_cbs2nid")]
extern "C" fn by_identifier() -> c_int {
    UNKNOWN
}

#[unsafe(export_name = "__wrap_aws_lc_0_47_0_OBJ_sn2nid")]
extern "C" fn by_short_name() -> c_int {
    UNKNOWN
}

#[unsafe(export_name = "__wrap_aws_lc_0_47_0_OBJ_ln2nid")]
extern "C" fn by_long_name() -> c_int {
    UNKNOWN
}
