//! A file's bytes as UTF-8, a piece at a time.

use std::cell::Cell;
use std::io::{Error, ErrorKind, Read, Result};
use std::rc::Rc;

use encoding_rs::{DecoderResult, Encoding};

use super::LINE_BYTES_MAX;

const PIECE_BYTES: usize = 64 * 1024;

/// What its reader and the table have in common.
#[derive(Clone, Default)]
pub(super) struct Meter {
    /// Bytes of the file so far.
    read: Rc<Cell<u64>>,
    /// Bytes given since the last line was complete.
    in_line: Rc<Cell<usize>>,
}

impl Meter {
    pub(super) fn read(&self) -> u64 {
        self.read.get()
    }
    pub(super) fn line_is_complete(&self) {
        self.in_line.set(0);
    }
}

/// Decodes what it reads; bytes that the encoding does not have are an error, not a replacement.
pub(super) struct Decoded<R> {
    source: R,
    decoder: encoding_rs::Decoder,
    encoding: &'static Encoding,
    raw: Vec<u8>,
    /// Of `raw`: bytes that wait to be decoded.
    begin: usize,
    end: usize,
    /// The source has no more bytes.
    ended: bool,
    /// The decoder has given all; it must not be asked again.
    finished: bool,
    meter: Meter,
}

impl<R: Read> Decoded<R> {
    pub(super) fn new(source: R, encoding: &'static Encoding, meter: Meter) -> Self {
        let decoder = encoding.new_decoder_with_bom_removal();
        Self {
            source,
            decoder,
            encoding,
            raw: vec![0; PIECE_BYTES],
            begin: 0,
            end: 0,
            ended: false,
            finished: false,
            meter,
        }
    }
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        if self.meter.in_line.get() > LINE_BYTES_MAX {
            let what = "a line does not end: is a quotation mark not closed?";
            return Err(Error::new(ErrorKind::InvalidData, what));
        }
        if self.finished {
            return Ok(0);
        }
        loop {
            if self.begin == self.end && !self.ended {
                self.end = self.source.read(&mut self.raw)?;
                self.begin = 0;
                self.ended = self.end == 0;
            }
            let waiting = &self.raw[self.begin..self.end];
            let (result, taken, given) = self.decoder.decode_to_utf8_without_replacement(waiting, out, self.ended);
            self.begin += taken;
            self.meter.read.set(self.meter.read.get() + taken as u64);
            self.finished = match result {
                DecoderResult::InputEmpty => self.ended,
                DecoderResult::OutputFull => false,
                DecoderResult::Malformed(..) => true,
            };
            if let DecoderResult::Malformed(..) = result {
                let name = self.encoding.name();
                let what = format!("byte {} of the file is not {name}", self.meter.read.get().saturating_sub(1));
                return Err(Error::new(ErrorKind::InvalidData, what));
            }
            if given > 0 || out.is_empty() || self.finished {
                self.meter.in_line.set(self.meter.in_line.get() + given);
                return Ok(given);
            }
        }
    }
}
