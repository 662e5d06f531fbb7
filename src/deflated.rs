//! Data that is stored in the binary as a deflate stream (RFC 1951) because it is seldom needed.

use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

/// Returns the `length` bytes that `packed` decompresses to.
pub fn unpacked(packed: &[u8], length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let flags = TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let mut inflater = Box::<DecompressorOxide>::default();
    decompress(&mut inflater, packed, &mut bytes, 0, flags);
    bytes
}
