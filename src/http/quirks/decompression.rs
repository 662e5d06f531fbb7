//! Removes zlib, with which libcurl decompresses bodies: 22 KB on ARMv7.
//!
//! Upstream: curl-sys 0.4.91 always builds libcurl with zlib. It is used only for transfers with
//! `CURLOPT_ACCEPT_ENCODING`, which isahc doesn't set without `automatic_decompression`: bodies are
//! decompressed by `check::body`, which bounds the memory for it.
//!
//! Here: the linker replaces zlib's functions by these (`build.rs`), which return `Z_STREAM_ERROR`.
//!
//! Test: `packaging/cross/size --check` detects the code.

use std::ffi::c_int;

/// `zlib.h`: the state of the stream is invalid.
const Z_STREAM_ERROR: c_int = -2;

macro_rules! refuse {
    ($($function:ident: $name:literal)*) => {$(
        #[unsafe(export_name = concat!("__wrap_", $name))]
        extern "C" fn $function() -> c_int {
            Z_STREAM_ERROR
        }
    )*};
}

refuse! {
    inflate: "inflate"
    inflate_end: "inflateEnd"
    inflate_init: "inflateInit_"
    inflate_init2: "inflateInit2_"
    inflate_reset2: "inflateReset2"
}
