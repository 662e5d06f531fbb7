//! Removes aws-lc's code for private keys, and digests that TLS does not use: 35 KB on ARMv7.
//!
//! Upstream: aws-lc 0.47.0's method tables refer to signing and key generation beside the verification of
//! signatures, so the linker keeps all of it. sitemon has no certificate of its own to sign with: it
//! verifies those of servers, and generates keys only for key exchange by X25519, the NIST curves and
//! ML-KEM, whose code stays.
//!
//! Here: the linker replaces the rest by these functions (`build.rs`), which fail: they return 0 or NULL.
//! Another version of aws-lc has other symbol names: the code returns until they are updated.
//!
//! Test: `packaging/cross/size --check` detects the code, and all tests over HTTPS detect signatures that are
//! not verified.

macro_rules! refuse {
    ($($function:ident: $name:literal)*) => {$(
        #[unsafe(export_name = concat!("__wrap_aws_lc_0_47_0_", $name))]
        extern "C" fn $function() -> usize {
            0
        }
    )*};
}

refuse! {
    ml_dsa_44_sign: "ml_dsa_44_sign"
    ml_dsa_extmu_44_sign: "ml_dsa_extmu_44_sign"
    ml_dsa_44_keypair: "ml_dsa_44_keypair"
    ml_dsa_44_keypair_internal: "ml_dsa_44_keypair_internal"
    ml_dsa_44_pack_pk_from_sk: "ml_dsa_44_pack_pk_from_sk"
    ml_dsa_65_sign: "ml_dsa_65_sign"
    ml_dsa_extmu_65_sign: "ml_dsa_extmu_65_sign"
    ml_dsa_65_keypair: "ml_dsa_65_keypair"
    ml_dsa_65_keypair_internal: "ml_dsa_65_keypair_internal"
    ml_dsa_65_pack_pk_from_sk: "ml_dsa_65_pack_pk_from_sk"
    ml_dsa_87_sign: "ml_dsa_87_sign"
    ml_dsa_extmu_87_sign: "ml_dsa_extmu_87_sign"
    ml_dsa_87_keypair: "ml_dsa_87_keypair"
    ml_dsa_87_keypair_internal: "ml_dsa_87_keypair_internal"
    ml_dsa_87_pack_pk_from_sk: "ml_dsa_87_pack_pk_from_sk"
    ed25519_sign_internal: "ed25519_sign_internal"
    evp_parse_private_key: "EVP_parse_private_key"
    rsa_parse_private_key: "RSA_parse_private_key"
    rsa_generate_key_ex: "RSA_generate_key_ex"
    rsa_generate_key_ex_maybe_fips: "RSA_generate_key_ex_maybe_fips"
    rsa_sign_pss_mgf1: "RSA_sign_pss_mgf1"
    rsa_default_sign_raw: "rsa_default_sign_raw"
    rsa_sign_no_self_test: "rsa_sign_no_self_test"
    ecdsa_sign: "ECDSA_sign"
    ecdsa_do_sign: "ECDSA_do_sign"
    dsa_do_sign: "DSA_do_sign"
    dsa_generate_key: "DSA_generate_key"
    dh_generate_key: "DH_generate_key"
    dh_generate_parameters_ex: "DH_generate_parameters_ex"
    evp_md4: "EVP_md4"
    evp_ripemd160: "EVP_ripemd160"
}
