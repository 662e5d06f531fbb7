//! aws-lc without its table of all object identifiers: 56 KB of names that nothing asks for.
//!
//! Upstream: aws-lc 0.47.0 (`parse_key_type` of `crypto/evp_extra/evp_asn1.c`) looks up there (`crypto/obj/obj.c`)
//! the identifiers of keys that are not among its usual ones: RSA keys in a form before PKCS #1, and post-quantum
//! keys with their identifier. webpki passes on keys without it, those of ML-DSA too. By name, curves are looked up
//! (`crypto/fipsmodule/evp/p_ec.c`) for options in text form, which aws-lc-rs doesn't give.
//!
//! Here: the linker puts these functions in place of the lookups (`build.rs`), which then find nothing, and leaves
//! the table out. With another version of aws-lc their names are others: the table comes back until they follow.
//!
//! Test: `packaging/cross/size --check` sees the table, all tests over HTTPS see keys that are read wrongly.

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
