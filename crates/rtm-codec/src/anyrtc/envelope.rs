//! Every packet is an envelope: a command, and its content as JSON serialized into a string.

use super::{
    cmd::Cmd,
    fields::{Field, Str},
    reader::{Kind, Reader},
};
use crate::{DecodeError, DecodeErrorKind, Packet, json::Writer, limits::PACKET_BYTES};

/// A packet's head.
#[derive(Debug, Default)]
pub(super) struct Head<'a> {
    /// The command; `None` for one that is not known here.
    pub(super) cmd: Option<Cmd>,
    has_cmd: bool,
    pub(super) app_id: Str<'a>,
}

impl Head<'_> {
    /// Whether what the content means is known yet.
    fn is_read(&self) -> bool {
        self.has_cmd && (self.app_id.0.is_some() || self.cmd != Some(Cmd::Login))
    }
}

/// A packet's content, to be read as what the command says.
#[derive(Debug)]
pub(super) struct Content<'a> {
    reader: Option<Reader<'a>>,
    was_read: bool,
}

impl<'a> Content<'a> {
    /// Reads it. Content that is empty, left out or no string is an object without fields.
    pub(super) fn read<T: Field<'a>>(&mut self) -> Result<T, DecodeErrorKind> {
        self.was_read = true;
        self.reader.as_mut().map_or_else(|| Ok(T::default()), T::read)
    }
}

/// Reads an envelope: `take` gets its head and its content, once.
///
/// # Errors
///
/// When the packet is not an envelope of this wire, or `take` fails.
pub(super) fn read<'a>(
    packet: &'a Packet,
    mut take: impl FnMut(&Head<'a>, &mut Content<'a>) -> Result<(), DecodeErrorKind>,
) -> Result<(), DecodeError> {
    let text = match packet {
        Packet::Text(text) => text.as_str(),
        Packet::Binary(_) => return Err(DecodeError::new("packet", DecodeErrorKind::MessageType)),
    };
    if text.len() > PACKET_BYTES {
        return Err(DecodeError::new("packet", DecodeErrorKind::TooLarge { limit: PACKET_BYTES }));
    }
    let mut reader = Reader::new(text);
    let mut head = Head::default();
    let mut taken = false;
    let mut early = None;
    let mut read = || {
        reader.object(|key, reader| {
            match key {
                "Cmd" => {
                    let cmd = Str::read(reader)?;
                    head.has_cmd = cmd.0.is_some();
                    head.cmd = Cmd::parse(cmd.as_str());
                }
                "AppId" => head.app_id = Str::read(reader)?,
                "Content" if head.is_read() && !taken => {
                    taken = true;
                    read_content(&head, reader, &mut take)?;
                }
                "Content" => {
                    early = Some(reader.clone());
                    reader.skip()?;
                }
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        reader.end()?;
        if !head.has_cmd {
            return Err(DecodeErrorKind::Value);
        }
        match &mut early {
            _ if taken => Ok(()),
            Some(reader) => read_content(&head, reader, &mut take),
            None => take(&head, &mut Content { reader: None, was_read: false }),
        }
    };
    read().map_err(|kind| DecodeError::new("packet", kind))
}

fn read_content<'a>(
    head: &Head<'a>,
    reader: &mut Reader<'a>,
    take: &mut impl FnMut(&Head<'a>, &mut Content<'a>) -> Result<(), DecodeErrorKind>,
) -> Result<(), DecodeErrorKind> {
    let mut content = Content { reader: None, was_read: false };
    if reader.kind()? == Kind::String {
        let mut inner = reader.clone();
        inner.open()?;
        content.reader = (!inner.is_at_end()?).then_some(inner);
    }
    take(head, &mut content)?;
    match content {
        Content { reader: Some(mut inner), was_read: true } => {
            inner.close()?;
            *reader = inner;
            Ok(())
        }
        _ => reader.skip(),
    }
}

/// Writes an envelope whose content takes about `size` bytes.
pub(super) fn write(cmd: Cmd, size: usize, content: impl FnOnce(&mut Writer)) -> String {
    write_for(cmd, None, size, content)
}

/// The same, naming the project.
pub(super) fn write_for(cmd: Cmd, app_id: Option<&str>, size: usize, content: impl FnOnce(&mut Writer)) -> String {
    let mut out = Writer::with_capacity(size + HEAD_BYTES);
    out.raw("{\"Cmd\":\"");
    out.raw(cmd.as_str());
    if let Some(app_id) = app_id {
        out.raw("\",\"AppId\":");
        out.string(app_id);
        out.raw(",\"Encrypt\":false,\"Content\":");
    } else {
        out.raw("\",\"Encrypt\":false,\"Content\":");
    }
    out.nested(content);
    out.raw("}");
    out.finish()
}

/// Writes an envelope around an object.
pub(super) fn write_object<'a>(cmd: Cmd, object: &impl Field<'a>) -> String {
    write(cmd, OBJECT_BYTES, |out| object.write(out))
}

/// Room for what is around the content.
const HEAD_BYTES: usize = 80;
/// Room for an object without large texts.
const OBJECT_BYTES: usize = 160;
