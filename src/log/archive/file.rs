//! The form of an archive file: rows in zstd frames, which `zstd -dc` unpacks
//! as one stream, then an index in a frame that decoders skip.
//!
//! ```text
//!   frame: rows │ frame: rows │ … │ 0x184D2A58, size, [ index as JSON, its length ] │
//! ```
//!
//! The index says where each frame begins, which row is its first, and the hash
//! of the row before it, so that reading may begin at every frame. The whole
//! file's digest is in the log.

use super::super::sqlite::BadRow;
use super::super::{Hash, Row, StorageError, hash};
use super::row::{self, Names};
use super::{hex, storage, unhex};
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Rows in one frame at most: more pack better, fewer are found faster.
const FRAME_ROWS: u64 = 8192;
/// Bytes of rows in one frame, unless one row alone is longer.
const FRAME_BYTES: usize = 4 << 20;
/// Bytes that a frame may unpack to: one row's longest, and what is before it.
const UNPACKED_MAX: usize = 256 << 20;
/// Bytes that an index may have.
const INDEX_MAX: usize = 64 << 20;
/// How hard zstd tries: one that takes four times as long wins a twentieth.
const LEVEL: i32 = 3;
/// The magic number of a frame that decoders skip, one of sixteen.
const SKIPPABLE: u32 = 0x184D_2A58;

/// A frame in the index.
#[derive(Clone, PartialEq, Debug)]
struct Frame {
    /// The position of its first row.
    first: u64,
    rows: u64,
    /// Where it begins in the file, and how many bytes it has there and unpacked.
    offset: u64,
    length: usize,
    unpacked: usize,
    /// The hash of the row before its first one.
    previous: Hash,
}

/// Writes an archive file.
pub struct Packer {
    path: PathBuf,
    out: File,
    digest: Sha256,
    written: u64,
    frames: Vec<Frame>,
    rows: Vec<u8>,
    /// The frame that is being filled.
    frame: Option<Frame>,
    last: Hash,
    count: u64,
}

/// What was packed.
pub struct Packed {
    pub rows: u64,
    /// The hash of the last row.
    pub hash: Hash,
    pub digest: Hash,
}

impl Packer {
    /// Begins a file behind the row with that hash, over whatever a crash left there.
    pub fn create(path: &Path, previous: Hash) -> Result<Packer, StorageError> {
        let mut options = File::options();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let out = options.open(path).map_err(|error| storage("cannot make the archive", path, error))?;
        Ok(Packer {
            path: path.into(),
            out,
            digest: Sha256::new(),
            written: 0,
            frames: Vec::new(),
            rows: Vec::new(),
            frame: None,
            last: previous,
            count: 0,
        })
    }

    /// Adds a row; one that is not chained to the one before is refused.
    pub fn push(&mut self, row: &Row) -> Result<(), StorageError> {
        if hash::of_row(&self.last, row) != row.hash {
            return Err(StorageError(format!("row {} is not archived: its hash does not fit", row.position)));
        }
        let begun =
            Frame { first: row.position, rows: 0, offset: self.written, length: 0, unpacked: 0, previous: self.last };
        self.frame.get_or_insert(begun).rows += 1;
        row::encode(row, &mut self.rows);
        (self.last, self.count) = (row.hash, self.count + 1);
        let full = self.rows.len() >= FRAME_BYTES || self.frame.as_ref().is_some_and(|frame| frame.rows >= FRAME_ROWS);
        if full { self.pack() } else { Ok(()) }
    }

    fn pack(&mut self) -> Result<(), StorageError> {
        let Some(mut frame) = self.frame.take() else { return Ok(()) };
        let packed = compress(&self.rows).map_err(|error| storage("cannot compress for", &self.path, error))?;
        (frame.unpacked, frame.length) = (self.rows.len(), packed.len());
        self.frames.push(frame);
        self.rows.clear();
        self.write(&packed)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.digest.update(bytes);
        self.written += bytes.len() as u64;
        self.out.write_all(bytes).map_err(|error| storage("cannot write", &self.path, error))
    }

    /// Writes what is left and the index, and makes all of it durable.
    pub fn finish(mut self) -> Result<Packed, StorageError> {
        self.pack()?;
        let mut index = index_text(&self.frames).into_bytes();
        index.extend_from_slice(&(index.len() as u32).to_le_bytes());
        self.write(&SKIPPABLE.to_le_bytes())?;
        self.write(&(index.len() as u32).to_le_bytes())?;
        self.write(&index)?;
        self.out.sync_all().map_err(|error| storage("cannot sync", &self.path, error))?;
        Ok(Packed { rows: self.count, hash: self.last, digest: self.digest.finalize().into() })
    }
}

fn compress(rows: &[u8]) -> io::Result<Vec<u8>> {
    let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
    compressor.set_parameter(zstd::zstd_safe::CParameter::ChecksumFlag(true))?;
    compressor.compress(rows)
}

fn index_text(frames: &[Frame]) -> String {
    let frames = frames.iter().map(|frame| {
        json!({
            "first": frame.first,
            "length": frame.length,
            "offset": frame.offset,
            "previous": hex(&frame.previous),
            "rows": frame.rows,
            "unpacked": frame.unpacked,
        })
    });
    json!({ "format": 1, "frames": frames.collect::<Vec<_>>() }).to_string()
}

/// An archive file, open for reading.
pub struct Unpacker {
    path: PathBuf,
    file: File,
    frames: Vec<Frame>,
}

impl Unpacker {
    pub fn open(path: &Path) -> Result<Unpacker, StorageError> {
        let mut file = File::open(path).map_err(|error| storage("cannot open the archive", path, error))?;
        let text = read_index(&mut file).map_err(|error| storage("cannot read the index of", path, error))?;
        let frames = parse_index(&text).ok_or_else(|| storage("cannot read the index of", path, "it is damaged"))?;
        Ok(Unpacker { path: path.into(), file, frames })
    }

    /// The frame that has the first row behind `after`, or none before it.
    pub fn frame_behind(&self, after: u64) -> usize {
        self.frames.partition_point(|frame| frame.first <= after.saturating_add(1)).saturating_sub(1)
    }

    /// The frame that has the last row before `before`.
    pub fn frame_before(&self, before: u64) -> usize {
        self.frames.partition_point(|frame| frame.first < before).saturating_sub(1)
    }

    /// All rows, frame by frame, up to the first that cannot be read.
    pub fn rows(&mut self) -> impl Iterator<Item = Result<Row, BadRow>> {
        (0..self.frames.len()).flat_map(|nth| self.frame(nth))
    }

    /// Unpacks a frame: its rows, up to the first that cannot be read.
    pub fn frame(&mut self, nth: usize) -> Vec<Result<Row, BadRow>> {
        let Some(frame) = self.frames.get(nth).cloned() else { return Vec::new() };
        let bytes = match self.unpack(&frame) {
            Ok(bytes) => bytes,
            Err(error) => {
                let last = frame.first.saturating_add(frame.rows).saturating_sub(1);
                let why = format!("rows {} to {last} in {} cannot be unpacked: {error}", frame.first, self.name());
                return vec![Err(BadRow { position: frame.first, why })];
            }
        };
        let (mut rest, mut names, mut previous) = (&bytes[..], Names::default(), frame.previous);
        let mut rows: Vec<Result<Row, BadRow>> = Vec::with_capacity(frame.rows.min(FRAME_ROWS) as usize);
        let mut next = frame.first;
        while !rest.is_empty() {
            match row::decode(&mut rest, &previous, &mut names) {
                Ok(row) => {
                    (previous, next) = (row.hash, row.position.saturating_add(1));
                    rows.push(Ok(row));
                }
                Err(why) => {
                    rows.push(Err(BadRow { position: next, why: format!("{why} (in {})", self.name()) }));
                    break;
                }
            }
        }
        rows
    }

    fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn unpack(&mut self, frame: &Frame) -> io::Result<Vec<u8>> {
        if frame.unpacked > UNPACKED_MAX || frame.length > UNPACKED_MAX {
            return Err(io::Error::other("the index is damaged"));
        }
        self.file.seek(SeekFrom::Start(frame.offset))?;
        let mut packed = vec![0; frame.length];
        self.file.read_exact(&mut packed)?;
        zstd::bulk::decompress(&packed, frame.unpacked)
    }
}

fn read_index(file: &mut File) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::End(-4))?;
    let mut length = [0; 4];
    file.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > INDEX_MAX {
        return Err(io::Error::other("it is damaged"));
    }
    file.seek(SeekFrom::End(-4 - length as i64))?;
    let mut text = vec![0; length];
    file.read_exact(&mut text)?;
    Ok(text)
}

fn parse_index(text: &[u8]) -> Option<Vec<Frame>> {
    let index: Json = serde_json::from_slice(text).ok()?;
    if index.get("format")?.as_u64()? != 1 {
        return None;
    }
    let frame = |frame: &Json| {
        let number = |name: &str| frame.get(name)?.as_u64();
        Some(Frame {
            first: number("first")?,
            rows: number("rows")?,
            offset: number("offset")?,
            length: usize::try_from(number("length")?).ok()?,
            unpacked: usize::try_from(number("unpacked")?).ok()?,
            previous: unhex(frame.get("previous")?.as_str()?)?,
        })
    };
    index.get("frames")?.as_array()?.iter().map(frame).collect()
}

/// SHA-256 of a whole file.
pub fn digest(path: &Path) -> Result<Hash, StorageError> {
    let mut file = File::open(path).map_err(|error| storage("cannot open the archive", path, error))?;
    let mut sha = Sha256::new();
    io::copy(&mut file, &mut sha).map_err(|error| storage("cannot read", path, error))?;
    Ok(sha.finalize().into())
}
