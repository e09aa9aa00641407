//! ClickHouse's own compressed framing: `checksum(16) method(1) compressed_size(4) size(4) data`, where the checksum is
//! CityHash128 1.0.2 of what follows it and `compressed_size` counts the nine bytes of the header too.
//!
//! In: bytes of a request in any cut, or bytes of a response. Out: the plain rows, or frames. A frame with a wrong
//! checksum, an unknown method or a size above `FRAME_BYTES_MAX` is an exception, never a panic.

use bytes::{Buf, Bytes, BytesMut};
use cityhash_rs::cityhash_102_128;

use super::exception::Exception;

const CHECKSUM_BYTES: usize = 16;
const HEADER_BYTES: usize = 9;
const LZ4: u8 = 0x82;
const NONE: u8 = 0x02;
/// The largest frame taken, compressed or not; ClickHouse's clients send 1 MiB.
const FRAME_BYTES_MAX: usize = 64 << 20;
/// How much goes into one frame of a response.
const FRAME_BYTES: usize = 1 << 20;

/// Takes frames apart.
#[derive(Default)]
pub(super) struct Unframe {
    pending: BytesMut,
}

impl Unframe {
    /// Takes the next bytes of the request and hands out the content of every frame that is complete.
    pub(super) fn push(
        &mut self,
        bytes: &[u8],
        mut rows: impl FnMut(&[u8]) -> Result<(), Exception>,
    ) -> Result<(), Exception> {
        self.pending.extend_from_slice(bytes);
        while let Some(header) = self.pending.get(CHECKSUM_BYTES..CHECKSUM_BYTES + HEADER_BYTES) {
            let (method, compressed, size) = (header[0], little_endian(&header[1..5]), little_endian(&header[5..9]));
            if !(HEADER_BYTES..=FRAME_BYTES_MAX).contains(&compressed) || size > FRAME_BYTES_MAX {
                return Err(broken(&format!("a frame claims {compressed} bytes compressed, {size} plain")));
            }
            if self.pending.len() < CHECKSUM_BYTES + compressed {
                break;
            }
            let frame = self.pending.split_to(CHECKSUM_BYTES + compressed);
            if frame[..CHECKSUM_BYTES] != checksum(&frame[CHECKSUM_BYTES..]) {
                return Err(Exception::new(40, "CHECKSUM_DOESNT_MATCH", "a compressed frame arrived damaged"));
            }
            let data = &frame[CHECKSUM_BYTES + HEADER_BYTES..];
            match method {
                LZ4 => {
                    let plain = lz4_flex::block::decompress(data, size).map_err(|error| broken(&error.to_string()))?;
                    rows(&plain)?;
                }
                NONE => rows(data)?,
                other => {
                    let what = format!("compression method 0x{other:02x} is not supported, send LZ4");
                    return Err(Exception::new(89, "UNKNOWN_COMPRESSION_METHOD", &what));
                }
            }
        }
        Ok(())
    }

    /// To be asked at the end of the request.
    pub(super) fn finish(&self) -> Result<(), Exception> {
        if self.pending.has_remaining() {
            return Err(broken("the request ends inside a compressed frame"));
        }
        Ok(())
    }
}

/// Frames bytes of a response.
pub(super) fn frame(plain: &[u8]) -> Bytes {
    let mut framed = Vec::with_capacity(plain.len() / 2 + 64);
    for part in plain.chunks(FRAME_BYTES) {
        let data = lz4_flex::block::compress(part);
        let mut body = Vec::with_capacity(HEADER_BYTES + data.len());
        body.push(LZ4);
        body.extend_from_slice(&size_bytes(HEADER_BYTES + data.len()));
        body.extend_from_slice(&size_bytes(part.len()));
        body.extend_from_slice(&data);
        framed.extend_from_slice(&checksum(&body));
        framed.extend_from_slice(&body);
    }
    framed.into()
}

fn size_bytes(size: usize) -> [u8; 4] {
    // At most FRAME_BYTES and LZ4's overhead.
    u32::try_from(size).unwrap_or(u32::MAX).to_le_bytes()
}

fn little_endian(bytes: &[u8]) -> usize {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | usize::from(*byte))
}

/// Two 64-bit halves, the high one first, each little endian.
fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    cityhash_102_128(bytes).rotate_left(64).to_le_bytes()
}

fn broken(what: &str) -> Exception {
    Exception::new(271, "CANNOT_DECOMPRESS", what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unframe(bytes: &[u8], step: usize) -> Result<Vec<u8>, Exception> {
        let (mut unframe, mut plain) = (Unframe::default(), Vec::new());
        for part in bytes.chunks(step) {
            unframe.push(part, |rows| {
                plain.extend_from_slice(rows);
                Ok(())
            })?;
        }
        unframe.finish()?;
        Ok(plain)
    }

    #[test]
    fn what_is_framed_comes_back_whatever_the_cut() {
        let plain: Vec<u8> = (0..2_500_000_u32).map(|index| (index / 7 % 251) as u8).collect();
        let framed = frame(&plain);
        for step in [1_000_003, 4096, 4097] {
            assert_eq!(unframe(&framed, step).unwrap(), plain);
        }
        assert_eq!(unframe(&frame(b"x"), 1).unwrap(), b"x");
    }

    #[test]
    fn a_flipped_bit_is_noticed() {
        let mut framed = frame(b"12345 litres of diesel").to_vec();
        let last = framed.len() - 1;
        framed[last] ^= 1;
        assert_eq!(unframe(&framed, 4096).unwrap_err().code(), 40);
    }

    #[test]
    fn half_a_frame_and_absurd_sizes_are_refused() {
        let framed = frame(b"12345 litres of diesel");
        assert_eq!(unframe(&framed[..framed.len() - 1], 4096).unwrap_err().code(), 271);
        assert_eq!(unframe(&[0xff; 64], 4096).unwrap_err().code(), 271);
    }
}
