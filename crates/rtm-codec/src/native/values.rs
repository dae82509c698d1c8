//! How numbers, texts, ids and collections lie in a frame.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Field, Input, Output, fault};
use crate::{
    Abilities, AppId, AttributeKey, CallId, CallLimit, CallLimits, ChannelId, DecodeError, DecodeErrorKind, Epoch,
    ErrorKind, HistoryCursor, InstanceId, LimitedCall, MessageId, PeerOnlineState, Refusal, RequestId, Revision, Seq,
    SessionId, Text, Token, UserId, text,
};

impl Field for u64 {
    #[inline(always)]
    fn put(&self, out: &mut Output<'_>) {
        out.number(*self);
    }

    #[inline(always)]
    fn get(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        input.number()
    }
}

impl Field for u32 {
    #[inline(always)]
    fn put(&self, out: &mut Output<'_>) {
        out.number((*self).into());
    }

    #[inline(always)]
    fn get(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        input.number()?.try_into().map_err(|_| fault(DecodeErrorKind::Value))
    }
}

impl Field for bool {
    #[inline(always)]
    fn put(&self, out: &mut Output<'_>) {
        out.tag((*self).into());
    }

    #[inline(always)]
    fn get(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        match input.tag()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(fault(DecodeErrorKind::Value)),
        }
    }
}

impl Field for Abilities {
    fn put(&self, out: &mut Output<'_>) {
        let Self {
            resume,
            binary,
            revisions,
            fetches_stored,
            repeats_attributes,
            times_token,
            gives_up,
            subscribes_once,
        } = *self;
        let bits =
            [resume, binary, revisions, fetches_stored, repeats_attributes, times_token, gives_up, subscribes_once];
        out.number((0..).zip(bits).map(|(at, bit)| u64::from(bit) << at).sum());
    }

    /// What a later version adds is skipped.
    fn get(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        let bits = input.number()?;
        let bit = |at: u32| bits >> at & 1 == 1;
        Ok(Self {
            resume: bit(0),
            binary: bit(1),
            revisions: bit(2),
            fetches_stored: bit(3),
            repeats_attributes: bit(4),
            times_token: bit(5),
            gives_up: bit(6),
            subscribes_once: bit(7),
        })
    }
}

impl Field for () {
    fn put(&self, _out: &mut Output<'_>) {}

    fn get(_input: &mut Input<'_>) -> Result<Self, DecodeError> {
        Ok(())
    }
}

macro_rules! numbers {
    ($($name:ident)*) => {$(
        impl Field for $name {
            #[inline(always)]
            fn put(&self, out: &mut Output<'_>) {
                self.0.put(out);
            }

            #[inline(always)]
            fn get(input: &mut Input<'_>) -> Result<Self, DecodeError> {
                Field::get(input).map(Self)
            }
        }
    )*};
}

numbers! { RequestId MessageId Seq Epoch Revision HistoryCursor }

impl Field for SessionId {
    fn put(&self, out: &mut Output<'_>) {
        out.raw(&self.0);
    }

    fn get(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        input.chunk().map(Self)
    }
}

macro_rules! ids {
    ($($name:ident)*) => {$(
        impl Field for $name {
            #[inline(always)]
            fn put(&self, out: &mut Output<'_>) {
                out.bytes(self.as_str().as_bytes());
            }

            #[inline(always)]
            fn get(input: &mut Input<'_>) -> Result<Self, DecodeError> {
                Self::parse_bytes(input.bytes()?)
            }
        }
    )*};
}

ids! { AppId UserId ChannelId AttributeKey CallId InstanceId }

impl Field for Text {
    #[inline(always)]
    fn put(&self, out: &mut Output<'_>) {
        out.bytes(self.as_bytes());
    }

    #[inline(always)]
    fn get(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        input.text()
    }
}

impl Field for Bytes {
    #[inline(always)]
    fn put(&self, out: &mut Output<'_>) {
        out.bytes(self);
    }

    #[inline]
    fn get(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        input.binary()
    }
}

impl Field for Token {
    fn put(&self, out: &mut Output<'_>) {
        out.bytes(self.expose().as_bytes());
    }

    fn get(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        Self::new(input.text()?).map_err(|_| fault(DecodeErrorKind::TooLarge { limit: Self::MAX_LEN }))
    }
}

impl<T: Field> Field for Box<T> {
    fn put(&self, out: &mut Output<'_>) {
        (**self).put(out);
    }

    fn get(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        T::get(input).map(Self::new)
    }
}

impl<T: Field> Field for Option<T> {
    #[inline]
    fn put(&self, out: &mut Output<'_>) {
        match self {
            None => out.tag(0),
            Some(value) => {
                out.tag(1);
                value.put(out);
            }
        }
    }

    #[inline]
    fn get(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        if bool::get(input)? { T::get(input).map(Some) } else { Ok(None) }
    }
}

impl<T: Field> Field for Result<T, Refusal> {
    #[inline]
    fn put(&self, out: &mut Output<'_>) {
        match self {
            Ok(value) => {
                out.tag(0);
                value.put(out);
            }
            Err(refusal) => {
                out.tag(1);
                refusal.put(out);
            }
        }
    }

    #[inline]
    fn get(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        if bool::get(input)? { Refusal::get(input).map(Err) } else { T::get(input).map(Ok) }
    }
}

/// An entry of a list, with its length before it as those in `entries!` of `fields.rs`.
impl Field for (UserId, PeerOnlineState) {
    fn put(&self, out: &mut Output<'_>) {
        let (user_id, state) = self;
        out.part(|out| {
            user_id.put(out);
            state.put(out);
        });
    }

    fn get(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        let mut entry = input.part()?;
        Ok((Field::get(&mut entry)?, Field::get(&mut entry)?))
    }
}

impl<T: Field> Field for Vec<T> {
    fn put(&self, out: &mut Output<'_>) {
        out.number(self.len() as u64);
        for entry in self {
            entry.put(out);
        }
    }

    fn get(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        let count = input.count()?;
        let mut entries = Self::with_capacity(count);
        for _ in 0..count {
            entries.push(T::get(input)?);
        }
        Ok(entries)
    }
}

impl<K: Field + Ord, V: Field> Field for BTreeMap<K, V> {
    fn put(&self, out: &mut Output<'_>) {
        out.number(self.len() as u64);
        for (key, value) in self {
            key.put(out);
            value.put(out);
        }
    }

    fn get(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        let mut entries = Self::new();
        for _ in 0..input.count()? {
            // The same key twice would let two readers see two different maps.
            if entries.insert(K::get(input)?, V::get(input)?).is_some() {
                return Err(fault(DecodeErrorKind::Value));
            }
        }
        Ok(entries)
    }
}

impl Field for Refusal {
    fn put(&self, out: &mut Output<'_>) {
        self.kind.put(out);
        out.bytes(detail(self).as_bytes());
    }

    fn get(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        let kind = match ErrorKind::get(input) {
            Ok(kind) => kind,
            // A newer server's finer reason is still a failure.
            Err(error) if matches!(error.kind(), DecodeErrorKind::UnknownTag { .. }) => ErrorKind::Failure,
            Err(error) => return Err(error),
        };
        let refusal = Self { kind, detail: Text::get(input)? };
        Ok(Self { detail: detail(&refusal).into(), ..refusal })
    }
}

/// As much of the sentence as goes over a wire.
fn detail(refusal: &Refusal) -> &str {
    text::prefix(&refusal.detail, Refusal::DETAIL_BYTES)
}

/// A list in the order of [`LimitedCall::ALL`], which other versions may have more or fewer of. It ends with the last
/// that is not the default, so that it stays as it is when calls are added.
impl Field for CallLimits {
    fn put(&self, out: &mut Output<'_>) {
        let default = Self::default();
        let last = LimitedCall::ALL.iter().rposition(|call| self.get(*call) != default.get(*call));
        let told = &LimitedCall::ALL[..last.map_or(0, |last| last + 1)];
        out.number(told.len() as u64);
        for call in told {
            self.get(*call).put(out);
        }
    }

    fn get(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        let mut limits = Self::default();
        for i in 0..input.count()? {
            let limit = CallLimit::get(input)?;
            if let Some(call) = LimitedCall::ALL.get(i) {
                limits.set(*call, limit);
            }
        }
        Ok(limits)
    }
}
