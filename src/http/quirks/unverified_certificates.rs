//! `verify = false` for certificates that webpki cannot parse.
//!
//! Upstream: without verification libcurl (`lib/vtls/rustls.c` of 8.22) gives rustls-ffi a callback that
//! accepts every chain. rustls-ffi 0.15 still verifies the handshake's signature with the key of the
//! certificate, for which webpki must parse it: an X.509 v1 certificate, an RSA key under 2048 bits or an
//! unknown critical extension end the handshake.
//!
//! Here: the linker puts this function in between (`--wrap`, `build.rs`): in place of the callback the
//! configuration gets [`AnyCertificate`], by rustls-ffi's own
//! `rustls_client_config_builder_set_server_verifier`. Its `rustls_server_cert_verifier` is an
//! `Arc<dyn ServerCertVerifier>` of the same rustls as this program's.
//!
//! Test: `check::tests::https::without_verification_any_certificate_will_do`. Upstream should offer a way to
//! skip the signature, too.

use crate::http::provider::AnyCertificate;
use rustls::client::danger::ServerCertVerifier;
use std::ffi::c_void;
use std::sync::Arc;

// `rustls_result` of rustls-ffi 0.15.
const RUSTLS_RESULT_OK: u32 = 7000;

unsafe extern "C" {
    /// rustls-ffi's; clones the `Arc<dyn ServerCertVerifier>` at `verifier`.
    fn rustls_client_config_builder_set_server_verifier(
        builder: *mut c_void,
        verifier: *const c_void,
    );
}

/// Replaces `rustls_client_config_builder_dangerous_set_certificate_verifier` for libcurl.
///
/// # Safety
///
/// The same as for that function: `builder` is one of rustls-ffi, as libcurl guarantees. The callback is
/// never called.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_rustls_client_config_builder_dangerous_set_certificate_verifier(
    builder: *mut c_void,
    _callback: *const c_void,
) -> u32 {
    let verifier: Arc<dyn ServerCertVerifier> = Arc::new(AnyCertificate);
    let verifier = &raw const verifier;
    // SAFETY: the caller's builder, and a verifier of the type that rustls-ffi expects, which outlives the
    // call.
    unsafe { rustls_client_config_builder_set_server_verifier(builder, verifier.cast()) };
    RUSTLS_RESULT_OK
}
