//! What calls ask for, from their paths, queries and bodies. Bodies are read whatever their content type says, and keys that
//! are not known are passed over: callers send some.

use super::{
    HistorySearch, RestCall, RestChannelMessage, RestPeerMessage, RestRoute, handle::HistoryHandle, path::parameter,
    time,
};
use crate::{
    ChannelId, DecodeError, DecodeErrorKind, ErrorKind, Refusal, Text, UserId,
    anyrtc::{
        fields::{Field, Str},
        reader::{Kind, Reader},
    },
    limits::{HISTORY_PAGE, MESSAGE_BYTES},
};

/// How a message of a channel is called in what a search found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ChannelMessageType {
    /// `group_message`, as the vendor's servers really say.
    #[default]
    Group,
    /// `channel_message`, as its documents say.
    Channel,
}

impl ChannelMessageType {
    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Group => "group_message",
            Self::Channel => "channel_message",
        }
    }
}

impl RestCall {
    /// Reads a call.
    ///
    /// # Errors
    ///
    /// A refusal of kind [`ErrorKind::InvalidArgument`] or [`ErrorKind::InvalidMessage`] that names the fault. It is
    /// `Ok(None)` for a page of a search that is over, or never was.
    pub fn decode(route: RestRoute, query: &str, body: &[u8], now_ms: u64) -> Result<Option<Self>, Refusal> {
        Ok(Some(match route {
            RestRoute::PeerMessages { user_id } => {
                let from = sender(&user_id)?;
                let body: MessageBody<'_> = read(body)?;
                Self::SendToPeer(RestPeerMessage {
                    from,
                    to: id("destination", required("destination", &body.destination)?)?,
                    payload: payload(&body.payload)?,
                    enable_offline_messaging: body.enable_offline_messaging.0,
                    enable_historical_messaging: body.enable_historical_messaging.0,
                    wait_for_ack: parameter(query, "wait_for_ack").is_some_and(|word| is_yes(&word)),
                })
            }
            RestRoute::ChannelMessages { user_id } => {
                let from = sender(&user_id)?;
                let body: MessageBody<'_> = read(body)?;
                Self::SendToChannel(RestChannelMessage {
                    from,
                    channel_id: ChannelId::new(required("channel_name", &body.channel_name)?)
                        .map_err(|error| invalid(&format!("channel_name: {error}")))?,
                    payload: payload(&body.payload)?,
                    enable_historical_messaging: body.enable_historical_messaging.0,
                })
            }
            RestRoute::Events(events) => Self::Events(events),
            RestRoute::HistoryQuery => Self::QueryHistory(read::<QueryBody<'_>>(body)?.search()?),
            RestRoute::HistoryCount => {
                let text = |name| Str(parameter(query, name).map(Into::into));
                let filter = FilterBody {
                    source: text("source"),
                    destination: text("destination"),
                    start_time: text("start_time"),
                    end_time: text("end_time"),
                };
                Self::CountHistory(QueryBody { filter, ..QueryBody::default() }.search()?)
            }
            RestRoute::HistoryPage { handle } => {
                let handle = HistoryHandle::decode(&handle).filter(|handle| !handle.is_over(now_ms));
                return Ok(handle.map(|handle| Self::HistoryPage(handle.search)));
            }
        }))
    }
}

impl HistorySearch {
    /// Whether its numbers are ones that a search has.
    pub(super) fn is_good(&self) -> bool {
        (self.source.is_some() || self.destination.is_some())
            && self.from_ts < self.until_ts
            && (1..=HISTORY_PAGE as u32).contains(&self.limit)
            && self.offset <= MOST_OFFSET
    }
}

/// Yes or no, as callers write it: PHP has numbers for it, and some write text.
#[derive(Debug, Clone, Copy, Default)]
struct Switch(bool);

impl<'a> Field<'a> for Switch {
    fn read(from: &mut Reader<'a>) -> Result<Self, DecodeErrorKind> {
        match from.kind()? {
            kind @ (Kind::True | Kind::False | Kind::Null) => from.literal(kind).map(|()| Self(kind == Kind::True)),
            Kind::Number => from.number().map(|digits| Self(is_yes(digits))),
            Kind::String => from.string().map(|text| Self(text.is_some_and(|text| is_yes(&text)))),
            Kind::Object | Kind::Array => from.skip().map(|()| Self(false)),
        }
    }

    fn write(&self, to: &mut crate::json::Writer) {
        to.raw(if self.0 { "true" } else { "false" });
    }
}

/// How many: a whole number, also in quotes.
#[derive(Debug, Clone, Copy, Default)]
enum Count {
    #[default]
    Missing,
    Number(u32),
    Wrong,
}

impl Count {
    fn parse(digits: &str) -> Self {
        digits.parse().map_or(Self::Wrong, Self::Number)
    }
}

impl<'a> Field<'a> for Count {
    fn read(from: &mut Reader<'a>) -> Result<Self, DecodeErrorKind> {
        match from.kind()? {
            Kind::Null => from.literal(Kind::Null).map(|()| Self::Missing),
            Kind::Number => from.number().map(Self::parse),
            Kind::String => from.string().map(|text| text.map_or(Self::Wrong, |text| Self::parse(&text))),
            kind @ (Kind::True | Kind::False) => from.literal(kind).map(|()| Self::Wrong),
            Kind::Object | Kind::Array => from.skip().map(|()| Self::Wrong),
        }
    }

    fn write(&self, to: &mut crate::json::Writer) {
        match self {
            Self::Number(number) => to.raw(&number.to_string()),
            Self::Missing | Self::Wrong => to.raw("null"),
        }
    }
}

#[derive(Debug, Default)]
struct MessageBody<'a> {
    destination: Str<'a>,
    channel_name: Str<'a>,
    payload: Str<'a>,
    enable_offline_messaging: Switch,
    enable_historical_messaging: Switch,
}

#[derive(Debug, Default)]
struct QueryBody<'a> {
    filter: FilterBody<'a>,
    offset: Count,
    limit: Count,
    order: Str<'a>,
}

#[derive(Debug, Default)]
struct FilterBody<'a> {
    source: Str<'a>,
    destination: Str<'a>,
    start_time: Str<'a>,
    end_time: Str<'a>,
}

/// A body, or an object in one.
trait Body<'a>: Default {
    fn field(&mut self, key: &str, from: &mut Reader<'a>) -> Result<(), DecodeErrorKind>;
}

impl<'a> Body<'a> for MessageBody<'a> {
    fn field(&mut self, key: &str, from: &mut Reader<'a>) -> Result<(), DecodeErrorKind> {
        match key {
            "destination" => self.destination = Field::read(from)?,
            "channel_name" => self.channel_name = Field::read(from)?,
            "payload" => self.payload = Field::read(from)?,
            "enable_offline_messaging" => self.enable_offline_messaging = Field::read(from)?,
            "enable_historical_messaging" => self.enable_historical_messaging = Field::read(from)?,
            _ => from.skip()?,
        }
        Ok(())
    }
}

impl<'a> Body<'a> for QueryBody<'a> {
    fn field(&mut self, key: &str, from: &mut Reader<'a>) -> Result<(), DecodeErrorKind> {
        match key {
            "filter" if from.kind()? == Kind::Object => from.object(|key, from| self.filter.field(key, from))?,
            "offset" => self.offset = Field::read(from)?,
            "limit" => self.limit = Field::read(from)?,
            "order" => self.order = Field::read(from)?,
            _ => from.skip()?,
        }
        Ok(())
    }
}

impl<'a> Body<'a> for FilterBody<'a> {
    fn field(&mut self, key: &str, from: &mut Reader<'a>) -> Result<(), DecodeErrorKind> {
        match key {
            "source" => self.source = Field::read(from)?,
            "destination" => self.destination = Field::read(from)?,
            "start_time" => self.start_time = Field::read(from)?,
            "end_time" => self.end_time = Field::read(from)?,
            _ => from.skip()?,
        }
        Ok(())
    }
}

impl QueryBody<'_> {
    fn search(&self) -> Result<HistorySearch, Refusal> {
        let FilterBody { source, destination, start_time, end_time } = &self.filter;
        let user = |name, text: &Str<'_>| match text.as_str() {
            "" => Ok(None),
            text => id(name, text).map(Some),
        };
        let at = |name, text: &Str<'_>| {
            if text.as_str().is_empty() {
                return Err(invalid(&format!("{name} is missing, or is not a text")));
            }
            let at = time::read(text.as_str());
            at.ok_or_else(|| invalid(&format!("{name} is not a time like 2019-08-01T01:22:10Z")))
        };
        let number = |count: Count, usual: u32| match count {
            Count::Missing => usual,
            Count::Number(number) => number,
            Count::Wrong => u32::MAX,
        };
        let search = HistorySearch {
            source: user("source", source)?,
            destination: user("destination", destination)?,
            from_ts: at("start_time", start_time)?,
            until_ts: at("end_time", end_time)?,
            offset: number(self.offset, 0),
            limit: number(self.limit, USUAL_LIMIT),
            newest_first: match self.order.as_str() {
                "" | "asc" => false,
                "desc" => true,
                _ => return Err(invalid("order is neither asc nor desc")),
            },
        };
        let fault = if search.source.is_none() && search.destination.is_none() {
            "source and destination are both missing, or are no texts"
        } else if search.from_ts >= search.until_ts {
            "start_time is not before end_time"
        } else if search.offset > MOST_OFFSET {
            "offset is not a whole number from 0 to 1000000"
        } else if !search.is_good() {
            "limit is not a whole number from 1 to 100"
        } else {
            return Ok(search);
        };
        Err(invalid(fault))
    }
}

fn read<'a, T: Body<'a>>(body: &'a [u8]) -> Result<T, Refusal> {
    let malformed = |kind| invalid(&DecodeError::new("body", kind).to_string());
    let body = simdutf8::basic::from_utf8(body).map_err(|_| malformed(DecodeErrorKind::Utf8))?;
    // Some editors put it before everything that they write.
    let mut reader = Reader::new(body.strip_prefix('\u{feff}').unwrap_or(body));
    let mut value = T::default();
    reader.object(|key, from| value.field(key, from)).and_then(|()| reader.end()).map_err(malformed)?;
    Ok(value)
}

fn sender(user_id: &str) -> Result<UserId, Refusal> {
    if user_id.starts_with(' ') || user_id.ends_with(' ') {
        return Err(invalid("the user id in the path begins or ends with a space"));
    }
    id("the user id in the path", user_id)
}

fn id(name: &str, text: &str) -> Result<UserId, Refusal> {
    UserId::new(text).map_err(|error| invalid(&format!("{name}: {error}")))
}

fn required<'a>(name: &str, text: &'a Str<'_>) -> Result<&'a str, Refusal> {
    text.0.as_deref().ok_or_else(|| invalid(&format!("{name} is missing, or is not a text")))
}

fn payload(text: &Str<'_>) -> Result<Text, Refusal> {
    let refuse = |what| Err(Refusal::new(ErrorKind::InvalidMessage, what));
    match &text.0 {
        None => refuse("payload is missing, or is not a text"),
        Some(text) if text.is_empty() => refuse("payload is empty"),
        Some(text) if text.len() > MESSAGE_BYTES => refuse("payload is longer than 32768 bytes"),
        Some(text) => Ok(Text::from(&**text)),
    }
}

fn is_yes(word: &str) -> bool {
    word.eq_ignore_ascii_case("true") || word == "1"
}

fn invalid(detail: &str) -> Refusal {
    Refusal::new(ErrorKind::InvalidArgument, detail)
}

/// How many messages a page has of which no number is said.
const USUAL_LIMIT: u32 = 20;
/// How many messages a search passes over at most.
const MOST_OFFSET: u32 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_with_a_value_of_another_kind_is_told_what_it_should_have() {
        let times = r#""start_time":"2019-08-01T01:22:10Z","end_time":"2019-08-01T01:32:10Z""#;
        let query = |rest: &str| format!(r#"{{"filter":{{"source":"a",{times}}},{rest}}}"#);
        let peer = || RestRoute::PeerMessages { user_id: "alice".to_owned() };
        let channel = || RestRoute::ChannelMessages { user_id: "alice".to_owned() };
        let cases = [
            (RestRoute::HistoryQuery, query(r#""offset":-1"#), "offset is not a whole number from 0 to 1000000"),
            (RestRoute::HistoryQuery, query(r#""offset":1000001"#), "offset is not a whole number from 0 to 1000000"),
            (RestRoute::HistoryQuery, query(r#""offset":[1]"#), "offset is not a whole number from 0 to 1000000"),
            (RestRoute::HistoryQuery, query(r#""limit":-1"#), "limit is not a whole number from 1 to 100"),
            (RestRoute::HistoryQuery, query(r#""limit":0"#), "limit is not a whole number from 1 to 100"),
            (
                peer(),
                r#"{"destination":["bob"],"payload":"hi"}"#.to_owned(),
                "destination is missing, or is not a text",
            ),
            (peer(), r#"{"payload":"hi"}"#.to_owned(), "destination is missing, or is not a text"),
            (channel(), r#"{"channel_name":7,"payload":"hi"}"#.to_owned(), "channel_name is missing, or is not a text"),
        ];
        for (route, body, wanted) in cases {
            let refusal = RestCall::decode(route, "", body.as_bytes(), 0).unwrap_err();
            assert_eq!((refusal.kind, refusal.detail.as_str()), (ErrorKind::InvalidArgument, wanted), "{body}");
        }
    }
}
