//! Writes a chain: data durable first, then its lines; it waits for no signature, and after a write that failed it writes
//! nothing more.

use crate::hash::Hash;
use crate::key::{Signature, ToSign};
use crate::line::{Block, Header, Line, MOST_BLOCKS, Mark, Resumed, Signed};
use crate::recover::Recovered;
use crate::state::{Fault, State};
use crate::text::{Text, TrackName};
use crate::time::Utc;
use crate::track::{Durable, Track};
use std::io;

/// Why a chain was not written on.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The chain's file could not be written. It stays as it is, up to its last whole line.
    #[error("the chain's file could not be written, and nothing more is: {0}")]
    Chain(io::Error),
    /// A track could not be written.
    #[error("{track} could not be written, and nothing more is sealed: {error}")]
    Track {
        /// Which.
        track: TrackName,
        /// Why.
        error: io::Error,
    },
    /// It failed before.
    #[error("the chain failed before ({0}), and nothing more is written")]
    Failed(String),
    /// It ended before.
    #[error("the chain has ended, and nothing more can be added")]
    Ended,
    /// No mark waits for this signature. The chain goes on.
    #[error("this signature was not asked for, or too long ago")]
    NotAsked,
    /// The signature is not the device's. The chain goes on.
    #[error("this signature is not one of the key in the chain's header")]
    WrongSignature,
    /// A line would not be one that may come next.
    #[error("the chain cannot go on like this: {0}")]
    Order(Fault),
}

/// A chain that is being written.
#[derive(Debug)]
pub struct Writer<D> {
    to: D,
    state: State,
    failure: Option<String>,
    /// What the last signature, or the first line, stood for.
    marked: u64,
}

impl<D: Durable> Writer<D> {
    /// Begins a chain in an empty file, and returns when its header is durable.
    pub fn create(mut to: D, header: Header) -> Result<Self, ChainError> {
        let mut line = Line::Header(header).encode();
        let state = State::begin(&line).map_err(ChainError::Order)?;
        line.push(b'\n');
        to.write_all(&line).and_then(|()| to.sync()).map_err(ChainError::Chain)?;
        Ok(Self { to, state, failure: None, marked: 0 })
    }

    /// Goes on after a cut. `to` appends to the chain's file, which was cut to [`Recovered::valid_bytes`]; so many bytes of
    /// tracks lay `beyond` the last sealed block. A chain that has ended takes nothing but its last signature.
    pub fn resume(to: D, recovered: Recovered, beyond: u64, now: Utc) -> Result<Self, ChainError> {
        let torn = recovered.torn_bytes();
        let state = recovered.into_state();
        let marked = state.signed().map_or(0, |(blocks, _)| blocks);
        let mut writer = Self { to, state, failure: None, marked };
        if writer.state.end().is_none() {
            let previous = writer.state.head();
            writer.add(vec![Line::Resumed(Resumed { time: now, torn, beyond, previous })])?;
            writer.sync()?;
        }
        Ok(writer)
    }

    /// How far it has come.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The hash of the last line, which stands for the whole chain.
    pub fn head(&self) -> Hash {
        self.state.head()
    }

    /// Makes what was written to these tracks durable, then adds its lines and makes them durable too. What has nothing new
    /// costs nothing.
    pub fn seal<'a, T: Durable + 'a>(
        &mut self,
        tracks: impl IntoIterator<Item = &'a mut Track<T>>,
    ) -> Result<(), ChainError> {
        self.check()?;
        let mut tracks: Vec<_> = tracks.into_iter().collect();
        let mut lines = Vec::new();
        for track in &mut tracks {
            let name = track.name().clone();
            let parts = match track.settle() {
                Ok(parts) => parts,
                Err(error) => {
                    let error = ChainError::Track { track: name, error };
                    self.failure = Some(error.to_string());
                    return Err(error);
                }
            };
            for part in parts {
                lines.push(Line::Block(Block {
                    number: 0,
                    track: name.clone(),
                    offset: part.offset,
                    length: part.length,
                    sha256: part.sha256,
                    previous: Hash([0; 32]),
                }));
            }
        }
        if lines.is_empty() {
            return Ok(());
        }
        self.add(lines)?;
        self.sync()?;
        for track in tracks {
            track.sealed();
        }
        Ok(())
    }

    /// What is to be signed next, or none when nothing came since the last signature. The same is given until it is signed or
    /// the chain ends, so that a signer who was away can be asked again.
    pub fn to_sign(&mut self, now: Utc) -> Result<Option<ToSign>, ChainError> {
        self.check()?;
        if let Some(to_sign) = self.state.to_sign() {
            return Ok(Some(to_sign));
        }
        if self.state.end().is_some() || self.state.blocks() == self.marked {
            return Ok(None);
        }
        self.mark(now, None)?;
        Ok(self.state.to_sign())
    }

    /// Ends the chain. Nothing can be added any more but the signature of what is given, which is durable when this returns.
    pub fn end(&mut self, reason: Text<128>, now: Utc) -> Result<ToSign, ChainError> {
        self.check()?;
        if self.state.end().is_none() {
            self.mark(now, Some(reason))?;
            self.sync()?;
        }
        self.state.to_sign().ok_or(ChainError::Ended)
    }

    fn mark(&mut self, time: Utc, end: Option<Text<128>>) -> Result<(), ChainError> {
        let (blocks, previous) = (self.state.blocks(), self.state.head());
        self.add(vec![Line::Mark(Mark { blocks, time, end, previous })])
    }

    /// Takes the signature of what was given last by [`Writer::to_sign`] or [`Writer::end`].
    pub fn signed(&mut self, of: &ToSign, signature: Signature) -> Result<(), ChainError> {
        self.check()?;
        if self.state.to_sign().as_ref() != Some(of) {
            return Err(ChainError::NotAsked);
        }
        if !self.state.header().key.verifies(of, &signature) {
            return Err(ChainError::WrongSignature);
        }
        let previous = self.state.head();
        self.add(vec![Line::Signature(Signed { mark: of.mark, signature, previous })])?;
        self.marked = self.state.signed().map_or(0, |(blocks, _)| blocks);
        self.sync()
    }

    /// The file, when nothing more is to be written.
    pub fn into_inner(self) -> D {
        self.to
    }

    fn check(&self) -> Result<(), ChainError> {
        match &self.failure {
            Some(why) => Err(ChainError::Failed(why.clone())),
            None if self.state.is_whole() => Err(ChainError::Ended),
            None => Ok(()),
        }
    }

    /// Writes lines at once. Blocks get their numbers here, and all but the first the hash of the one before.
    fn add(&mut self, lines: Vec<Line>) -> Result<(), ChainError> {
        let mut bytes = Vec::new();
        for mut line in lines {
            let mut is_full = false;
            if let Line::Block(block) = &mut line {
                is_full = self.state.blocks() >= MOST_BLOCKS;
                block.number = self.state.blocks() + 1;
                block.previous = self.state.head();
            }
            let line = line.encode();
            if let Err(fault) = if is_full { Err(Fault::Many) } else { self.state.follow(&line).map(drop) } {
                self.failure = Some(fault.to_string());
                return Err(ChainError::Order(fault));
            }
            bytes.extend_from_slice(&line);
            bytes.push(b'\n');
        }
        let written = self.to.write_all(&bytes);
        self.note(written)
    }

    fn sync(&mut self) -> Result<(), ChainError> {
        let synced = self.to.sync();
        self.note(synced)
    }

    fn note(&mut self, result: io::Result<()>) -> Result<(), ChainError> {
        result.map_err(|error| {
            let error = ChainError::Chain(error);
            self.failure = Some(error.to_string());
            error
        })
    }
}
