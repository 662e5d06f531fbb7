//! Writes the date of the build into the binary (a wall clock that shows an earlier time is not
//! set), and links the wrappers of `src/http/quirks/` between C libraries and their callers.

use std::time::{SystemTime, UNIX_EPOCH};

const DAY: u64 = 86_400;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=Cargo.lock");
    // For reproducible builds: https://reproducible-builds.org/specs/source-date-epoch/
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    let built = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("SOURCE_DATE_EPOCH is not a number: {text}")),
        Err(_) => SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs()),
    };
    let midnight = built / DAY * DAY;
    println!("cargo::rustc-env=SITEMON_BUILT={midnight}");
    pack_configuration();
    let wrapped = [
        "rustls_connection_read",
        "rustls_client_config_builder_dangerous_set_certificate_verifier",
        "Curl_client_write",
        "Curl_verify_header",
        "curl_multi_socket_action",
        "Curl_multi_will_close",
        "curlx_sztouz",
        "nghttp2_session_client_new3",
        "nghttp2_session_set_local_window_size",
        "nghttp2_submit_window_update",
    ];
    for name in wrapped {
        println!("cargo::rustc-link-arg=-Wl,--wrap={name}");
    }
    // Not in tests, which link aws-lc without sitemon's binary.
    let without = [
        "OBJ_cbs2nid",
        "OBJ_ln2nid",
        "OBJ_sn2nid",
        "ml_dsa_44_sign",
        "ml_dsa_extmu_44_sign",
        "ml_dsa_44_keypair",
        "ml_dsa_44_keypair_internal",
        "ml_dsa_44_pack_pk_from_sk",
        "ml_dsa_65_sign",
        "ml_dsa_extmu_65_sign",
        "ml_dsa_65_keypair",
        "ml_dsa_65_keypair_internal",
        "ml_dsa_65_pack_pk_from_sk",
        "ml_dsa_87_sign",
        "ml_dsa_extmu_87_sign",
        "ml_dsa_87_keypair",
        "ml_dsa_87_keypair_internal",
        "ml_dsa_87_pack_pk_from_sk",
        "ed25519_sign_internal",
        "EVP_parse_private_key",
        "RSA_parse_private_key",
        "RSA_generate_key_ex",
        "RSA_generate_key_ex_maybe_fips",
        "RSA_sign_pss_mgf1",
        "rsa_default_sign_raw",
        "rsa_sign_no_self_test",
        "ECDSA_sign",
        "ECDSA_do_sign",
        "DSA_do_sign",
        "DSA_generate_key",
        "DH_generate_key",
        "DH_generate_parameters_ex",
        "EVP_md4",
        "EVP_ripemd160",
    ];
    for name in without {
        println!("cargo::rustc-link-arg-bins=-Wl,--wrap=aws_lc_0_47_0_{name}");
    }
    let zlib = [
        "inflate",
        "inflateEnd",
        "inflateInit_",
        "inflateInit2_",
        "inflateReset2",
    ];
    for name in zlib {
        println!("cargo::rustc-link-arg-bins=-Wl,--wrap={name}");
    }
}

/// Writes `sitemon.conf` as a deflate stream, and its length. Only `init` needs it.
fn pack_configuration() {
    println!("cargo::rerun-if-changed=sitemon.conf");
    let text = std::fs::read("sitemon.conf").expect("sitemon.conf beside Cargo.toml");
    let packed = miniz_oxide::deflate::compress_to_vec(&text, 10);
    let out = std::env::var("OUT_DIR").expect("set by cargo");
    let write = |name: &str, bytes: &[u8]| std::fs::write(format!("{out}/{name}"), bytes);
    write("sitemon.conf", &packed).expect("written");
    write("sitemon.conf.length", text.len().to_string().as_bytes()).expect("written");
}
