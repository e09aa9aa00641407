//! The file around the slices: header, packing, length and checksum.
//!
//! In: slices, or a file. Out: the file, or its slices. Guarantees: slices come only from a file that is whole, byte for byte;
//! unpacking takes no more memory than a window and the present slice. The checksum is XXH3-128: it is against bad disks and
//! cut transfers, not against people, and with 128 bits no number of files lets one through; it costs a tenth of a second
//! for a gigabyte.

use std::io::{BufReader, Read, Write};

use twox_hash::XxHash3_128;
use zstd::stream::{read, write};

use super::{Corrupt, FORMAT, Header, Part};

const MAGIC: &[u8; 8] = b"fcrtsnap";
const LENGTH_LEN: usize = 8;
const CHECKSUM_LEN: usize = 16;
/// The least work: packing keeps up with a worker, and more would save a tenth of the bytes for twice the time.
const LEVEL: i32 = 1;
/// Far above any slice: one row of a contract with as many parties and top-ups as there may be.
const SLICE_BYTES_MAX: u32 = 256 << 20;
/// Room that is made for a slice before its bytes are seen.
const ROOM_MAX: usize = 1 << 16;
/// No window of the packing needs more memory than this, as a power of two.
const WINDOW_LOG_MAX: u32 = 24;

/// Makes the file of a snapshot. Does the packing, so it belongs on a thread that no decision waits for.
pub struct Writer {
    header: Header,
    packing: write::Encoder<'static, Vec<u8>>,
}

impl Writer {
    /// # Panics
    /// When the system has no memory left.
    #[must_use]
    pub fn begin(header: &Header) -> Self {
        let fields = postcard::to_allocvec(header).expect("memory takes whatever is written into it");
        let mut file = MAGIC.to_vec();
        file.push(FORMAT);
        file.extend_from_slice(&u16::try_from(fields.len()).unwrap_or(u16::MAX).to_le_bytes());
        file.extend_from_slice(&fields);
        let packing = write::Encoder::new(file, LEVEL).expect("memory for packing");
        Self { header: *header, packing }
    }

    /// Takes the parts as they come, and gives the header and the finished file with the last. Parts of a snapshot that did
    /// not begin are left out, and a new beginning takes the place of a snapshot that did not end.
    pub fn take(writer: &mut Option<Self>, part: &Part) -> Option<(Header, Vec<u8>)> {
        match part {
            Part::Begin(header) => *writer = Some(Self::begin(header)),
            Part::Slice(slice) => {
                if let Some(writer) = writer {
                    writer.slice(slice.bytes());
                }
            }
            Part::End => return writer.take().map(|writer| (writer.header, writer.finish())),
        }
        None
    }

    /// # Panics
    /// When the system has no memory left.
    pub fn slice(&mut self, slice: &[u8]) {
        let len = u32::try_from(slice.len()).ok().filter(|len| *len <= SLICE_BYTES_MAX).expect("a slice is small");
        let written = self.packing.write_all(&len.to_le_bytes()).and_then(|()| self.packing.write_all(slice));
        written.expect("memory takes whatever is written into it");
    }

    /// # Panics
    /// When the system has no memory left.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        let mut file = self.packing.finish().expect("memory takes whatever is written into it");
        let len = (file.len() + LENGTH_LEN + CHECKSUM_LEN) as u64;
        file.extend_from_slice(&len.to_le_bytes());
        let checksum = XxHash3_128::oneshot(&file);
        file.extend_from_slice(&checksum.to_le_bytes());
        file
    }
}

/// What a file says of itself, and what follows.
pub(super) fn split(bytes: &[u8]) -> Result<(Header, &[u8]), Corrupt> {
    let rest = bytes.strip_prefix(MAGIC).ok_or(Corrupt::Magic)?;
    let (&format, rest) = rest.split_first().ok_or(Corrupt::Header)?;
    if !(1..=FORMAT).contains(&format) {
        return Err(Corrupt::Format(format));
    }
    let (len, rest) = rest.split_first_chunk::<2>().ok_or(Corrupt::Header)?;
    let (fields, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*len))).ok_or(Corrupt::Header)?;
    match postcard::take_from_bytes::<Header>(fields) {
        Ok((header, [])) => Ok((Header { format, ..header }, rest)),
        _ => Err(Corrupt::Header),
    }
}

/// A file that is whole, and its slices.
pub(super) struct Slices<'a> {
    pub(super) header: Header,
    unpacking: BufReader<read::Decoder<'a, &'a [u8]>>,
    /// Unpacked bytes before the present slice, and with it.
    pub(super) before: u64,
    after: u64,
}

impl<'a> Slices<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, Corrupt> {
        let (header, rest) = split(bytes)?;
        let found = bytes.len() as u64;
        let packed = rest.len().checked_sub(LENGTH_LEN + CHECKSUM_LEN).ok_or(Corrupt::Length { told: 0, found })?;
        let (packed, end) = rest.split_at(packed);
        let (told, checksum) = end.split_at(LENGTH_LEN);
        let told = u64::from_le_bytes(told.try_into().map_err(|_| Corrupt::Header)?);
        if told != found {
            return Err(Corrupt::Length { told, found });
        }
        if XxHash3_128::oneshot(&bytes[..bytes.len() - CHECKSUM_LEN]).to_le_bytes() != *checksum {
            return Err(Corrupt::Checksum);
        }
        let mut unpacking = read::Decoder::with_buffer(packed).map_err(|error| packing(0, &error))?;
        unpacking.window_log_max(WINDOW_LOG_MAX).map_err(|error| packing(0, &error))?;
        Ok(Self { header, unpacking: BufReader::with_capacity(1 << 17, unpacking), before: 0, after: 0 })
    }

    /// The next slice; `None` after the last.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, Corrupt> {
        self.before = self.after;
        let after = self.after;
        let unpacking = &mut self.unpacking;
        // Grows with what is there, whatever length is told.
        let mut read = |len: u32, into: &mut Vec<u8>| {
            unpacking.by_ref().take(u64::from(len)).read_to_end(into).map_err(|error| packing(after, &error))
        };
        let mut told = Vec::with_capacity(4);
        match read(4, &mut told)? {
            0 => return Ok(None),
            4 => {}
            _ => return Err(Corrupt::Missing("a slice")),
        }
        let len = told.first_chunk::<4>().map_or(0, |len| u32::from_le_bytes(*len));
        if len == 0 || len > SLICE_BYTES_MAX {
            return Err(Corrupt::Slice { after, why: "a length that no slice has" });
        }
        let mut slice = Vec::with_capacity((len as usize).min(ROOM_MAX));
        if read(len, &mut slice)? != len as usize {
            return Err(Corrupt::Missing("the end of a slice"));
        }
        self.after += 4 + u64::from(len);
        Ok(Some(slice))
    }
}

fn packing(after: u64, error: &std::io::Error) -> Corrupt {
    Corrupt::Packing { after, why: error.to_string() }
}
