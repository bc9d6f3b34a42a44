//! The client's side, for one thread.

use std::io::{self, BufReader, Write as _};
use std::net::{TcpStream, ToSocketAddrs};

use super::{REQUEST, Settings, Timed, read_head, sequence};
use crate::gob::{self, Decoder, Encoder, Mismatch, Registry, Type, Value};

/// Why a call has no reply.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    /// The server did not greet as an RPC server does.
    #[error("the peer is no RPC server")]
    Greeting,
    /// The argument does not fit its type.
    #[error(transparent)]
    Argument(#[from] Mismatch),
    /// The answer cannot be understood.
    #[error(transparent)]
    Gob(#[from] gob::Error),
    /// The server hung up.
    #[error("the server hung up")]
    HungUp,
    /// The server answered something that it was not asked.
    #[error("an answer to no call")]
    Answer,
    /// The method failed.
    #[error("{0}")]
    Failed(String),
}

/// What a server answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The number of the call.
    pub sequence: u64,
    /// Its method, with the service's name.
    pub method: String,
    /// The reply, or the error's text.
    pub result: Result<Value, String>,
}

/// A connection to a server.
#[derive(Debug)]
pub struct Client {
    settings: Settings,
    writer: Timed,
    encoder: Encoder,
    decoder: Decoder<BufReader<Timed>>,
    next: u64,
}

impl Client {
    /// Connects, as Go's `DialHTTP`. Arguments may have interfaces with what is in `registry`.
    ///
    /// # Errors
    ///
    /// If there is no server of `net/rpc`.
    pub fn connect(
        address: impl ToSocketAddrs,
        registry: Registry,
        settings: Settings,
    ) -> Result<Self, ClientError> {
        let stream = TcpStream::connect(address)?;
        // Without it calls are slower, nothing else.
        drop(stream.set_nodelay(true));
        let mut writer = Timed::new(stream.try_clone()?, settings.greeting);
        writer.write_all(b"CONNECT /_goRPC_ HTTP/1.0\n\n")?;
        let mut reader = BufReader::new(Timed::new(stream, settings.greeting));
        let head = read_head(&mut reader)?;
        let mut words = head.split(|byte| *byte == b' ');
        if words.next().is_none_or(|word| !word.starts_with(b"HTTP/"))
            || words.next() != Some(b"200")
        {
            return Err(ClientError::Greeting);
        }
        Ok(Self {
            settings,
            writer,
            encoder: Encoder::new(registry),
            decoder: Decoder::new(reader, settings.limits),
            next: 0,
        })
    }

    /// Calls a method, such as `Service.Method`, and waits for its reply.
    ///
    /// # Errors
    ///
    /// If there is none. After others than [`ClientError::Failed`] and [`ClientError::Argument`] the connection is of no use.
    pub fn call(
        &mut self,
        method: &str,
        argument_type: &'static Type,
        argument: &Value,
    ) -> Result<Value, ClientError> {
        let sequence = self.send(method, argument_type, argument)?;
        let answer = self.receive()?;
        if answer.sequence != sequence {
            return Err(ClientError::Answer);
        }
        answer.result.map_err(ClientError::Failed)
    }

    /// Calls a method without waiting, and tells the call's number.
    ///
    /// # Errors
    ///
    /// If the argument does not fit its type, or the connection fails.
    pub fn send(
        &mut self,
        method: &str,
        argument_type: &'static Type,
        argument: &Value,
    ) -> Result<u64, ClientError> {
        let sequence = self.next;
        let header = Value::structure([
            ("ServiceMethod", method.into()),
            ("Seq", Value::Uint(sequence)),
        ]);
        let mut encoder = self.encoder.clone();
        let mut bytes = encoder.encode(&REQUEST, &header)?;
        bytes.extend(encoder.encode(argument_type, argument)?);
        self.encoder = encoder;
        self.next = self.next.wrapping_add(1);
        self.writer.within(self.settings.answer);
        self.writer.write_all(&bytes)?;
        Ok(sequence)
    }

    /// The next answer, to any call.
    ///
    /// # Errors
    ///
    /// If none comes, or none that can be understood.
    pub fn receive(&mut self) -> Result<Answer, ClientError> {
        self.decoder
            .reader_mut()
            .get_mut()
            .within(self.settings.request);
        let header = self.decoder.next_value()?.ok_or(ClientError::HungUp)?;
        let reply = self.decoder.next_value()?.ok_or(ClientError::HungUp)?;
        let sequence = sequence(&header).ok_or(ClientError::Answer)?;
        Ok(Answer {
            sequence,
            method: header.text_field("ServiceMethod").to_owned(),
            result: match header.text_field("Error") {
                "" => Ok(reply),
                error => Err(error.to_owned()),
            },
        })
    }
}
