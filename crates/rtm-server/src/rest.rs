//! The vendor's REST API for back ends, on the port that everything is served on. Its connections are kept.

use std::{
    error::Error,
    net::IpAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::{
    HeaderMap, Request, Response, StatusCode,
    body::Body,
    header::{self, HeaderName, HeaderValue},
};
use rtm_codec::{
    AppId, ClientFrame, Command, ErrorKind, JoinChannel, MessageId, Refusal, RequestId, RtmMessage, SendChannelMessage,
    SendMessageToPeer, Text, Token, UserId,
    anyrtc::rest::{RestAnswer, RestCall, RestChannelMessage, RestEventsOf, RestPeerMessage, RestRefusal, RestRoute},
};
use rtm_core::{RestCaller, store::BackendError};
use rtm_token::Holder;
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;
use tracing::debug;

use crate::{
    gate::{Decision, Judge, denied},
    http_figures::Api,
    project::{Project, now},
    random::random_bytes,
    shared::{Guest, Shared},
    traces::Span,
};

/// A new secret for a [`RestKey`](rtm_core::RestKey), which is nowhere else, and its SHA-256 in hexadecimal digits.
///
/// # Errors
///
/// [`BackendError`] if the system has no random numbers.
pub fn new_rest_secret() -> Result<(String, String), BackendError> {
    let hex = |bytes: [u8; 32]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let secret = hex(random_bytes()?);
    let digest = hex(Sha256::digest(&secret).into());
    Ok((secret, digest))
}

/// How often each call of the REST API was answered with each status.
#[derive(Debug, Default)]
pub(crate) struct RestCounts([[AtomicU64; STATUSES.len()]; CALLS.len()]);

impl RestCounts {
    fn count(&self, call: usize, status: u16) {
        let status = STATUSES.iter().position(|known| *known == status).unwrap_or(STATUSES.len() - 1);
        if let Some(count) = self.0.get(call).and_then(|counts| counts.get(status)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Calls, statuses, and how often that was.
    #[cfg(feature = "admin")]
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, u16, u64)> {
        CALLS.iter().zip(&self.0).flat_map(|(call, counts)| {
            let count = |(status, count): (&u16, &AtomicU64)| (call.0, *status, count.load(Ordering::Relaxed));
            STATUSES.iter().zip(counts).map(count)
        })
    }
}

/// Marks an answer after which the connection stays open.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept;

/// Whether a request is for the REST API, and that is on.
pub(crate) fn is_for<B>(shared: &Shared, request: &Request<B>) -> bool {
    RestRoute::is_rest(request.uri().path()) && shared.live().rest.enabled
}

/// What a call is answered whose request is refused for what any request is.
pub(crate) fn refusal(status: StatusCode, what: &'static str) -> RestRefusal {
    match status {
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => RestRefusal::HeadTooLarge,
        _ => Refusal::new(ErrorKind::InvalidArgument, what.trim_end()).into(),
    }
}

/// Answers a call of a back end, which may be refused already.
pub(crate) async fn answer<B>(
    shared: &Shared,
    guest: &Guest,
    request: Request<B>,
    refused: Option<RestRefusal>,
) -> Response<Full<Bytes>>
where
    B: Body + Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let request_id = shared.rest_requests.fetch_add(1, Ordering::Relaxed);
    let call_place = place(request.uri().path());
    let asked = shared.http.begin(Api::Rest, request.method());
    let mut span = shared.traces.served(request.method(), request.headers());
    trace(&mut span, call_place, request_id, &request);
    let done = match refused {
        Some(refusal) => Err(refusal),
        None => call(shared, guest, request).await,
    };
    let (status, body) = match &done {
        Ok((project, answer)) => {
            let kind = shared.live().rest.channel_message_type;
            let sign = |handle: &str| project.sign_search(handle);
            (StatusCode::OK, answer.encode(request_id, now().unix_ms, kind, sign))
        }
        Err(refusal) => {
            debug!(remote = %guest.remote, request_id, ?refusal, "a call of the REST API is refused");
            let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, refusal.encode(request_id))
        }
    };
    shared.rest_counts.count(call_place, status.as_u16());
    asked.answered(status);
    span.answered(status.as_u16(), status.is_server_error());
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    match done {
        Err(RestRefusal::Refused(refusal)) => {
            if let Some(wait) = refusal.retry_after() {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs_f64().ceil().max(1.0) as u64));
            }
            if status == StatusCode::UNAUTHORIZED {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"rtm\""));
            }
        }
        Err(RestRefusal::Method(method)) => {
            headers.insert(header::ALLOW, HeaderValue::from_static(method));
        }
        Err(RestRefusal::Unavailable) => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        _ => {}
    }
    // What is left of a body that nobody wants would have to be read.
    let is_read = !matches!(
        status,
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
    );
    if !shared.draining.has_begun() && is_read && !guest.is_spare {
        response.extensions_mut().insert(Kept);
    }
    response
}

/// Says in a trace which call it is. Users are not named there.
fn trace<B>(span: &mut Span, call_place: usize, request_id: u64, request: &Request<B>) {
    if !span.is_recorded() {
        return;
    }
    let found = RestRoute::find(request.uri().path());
    let path = match &found {
        // Two calls that are one in metrics.
        Some((_, RestRoute::Events(RestEventsOf::Users))) => Some(USER_EVENTS),
        _ => CALLS.get(call_place).and_then(|(_, path)| *path),
    };
    if let Some(path) = path {
        span.is_of(request.method(), path);
    }
    if let Some(app_id) = found.and_then(|(app_id, _)| AppId::new(app_id).ok()) {
        span.text("rtm.app_id", app_id.as_str());
    }
    span.number("rtm.request_id", request_id);
}

async fn call<B>(shared: &Shared, guest: &Guest, request: Request<B>) -> Result<(Arc<Project>, RestAnswer), RestRefusal>
where
    B: Body + Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let (app_id, mut route) = RestRoute::find(request.uri().path()).ok_or(RestRefusal::NotFound)?;
    let method = route.method();
    if request.method().as_str() != method {
        return Err(RestRefusal::Method(method));
    }
    let sender = sender(&route).and_then(|user_id| UserId::new(user_id).ok());
    let project = AppId::new(app_id).ok().and_then(|app_id| shared.project(&app_id, sender.as_ref()));
    let project = project.ok_or_else(|| Refusal::from(ErrorKind::InvalidAppId))?;
    if !shared.is_serving() || !project.is_open() {
        return Err(RestRefusal::Unavailable);
    }
    let caller = caller(request.headers(), &route)?;
    project.check_rest_caller(&caller).inspect_err(|refusal| {
        if let RestCaller::Key { id, .. } = &caller {
            let id = id.chars().take(64).collect::<String>();
            shared
                .wrong_rest_keys
                .warn(format_args!("a wrong key of the REST API, {id:?}, came from {}: {refusal}", guest.remote));
        }
    })?;
    // What a user may read, the core knows that has its session.
    let reader = match &caller {
        RestCaller::User { user_id, .. } if !matches!(route, RestRoute::Events(_)) => Some(user_id),
        _ => None,
    };
    let served = reader.and_then(|user_id| shared.project(project.app_id(), Some(user_id)));
    let project = served.unwrap_or(project);
    if let RestRoute::HistoryPage { handle } = &mut route {
        let handle_and_signature = handle.trim_end_matches('=').split_once('.');
        let (signed, signature) = handle_and_signature.ok_or(RestRefusal::Gone)?;
        if project.sign_search(signed) != signature {
            return Err(RestRefusal::Gone);
        }
        *handle = signed.to_owned();
    }
    let query = request.uri().query().unwrap_or_default().to_owned();
    let body = if method == "POST" { read_body(shared, request).await? } else { Bytes::new() };
    let mut call = RestCall::decode(route, &query, &body, now().unix_ms)?.ok_or(RestRefusal::Gone)?;
    let judge = shared.live().judges.get(project.app_id()).cloned();
    let answer = match (&caller, judge) {
        (RestCaller::User { user_id, .. }, Some(judge)) => {
            // Nobody is asked about calls that would be refused anyway, and each call counts, whatever is decided.
            project.admit_rest(&caller, &call)?;
            let address = guest.remote.address.map(|address| address.ip());
            judge_call(&*judge, &project, user_id, &mut call, address).await?;
            project.rest_admitted(&caller, call).await
        }
        // What has a back end's key is the application's own word.
        _ => project.rest(&caller, call).await,
    };
    match answer {
        Some(answer) => Ok((project, answer?)),
        None => Err(RestRefusal::Unavailable),
    }
}

/// Has somebody outside decide about a call of a user, as about what comes over a connection: its login, joining the channel
/// that it sends to, and its message.
async fn judge_call(
    judge: &dyn Judge,
    project: &Arc<Project>,
    user_id: &UserId,
    call: &mut RestCall,
    address: Option<IpAddr>,
) -> Result<(), Refusal> {
    if judge.judges_logins() {
        decided(judge.judge_login(Some(user_id), address).await)?;
    }
    let (command, payload) = match call {
        RestCall::SendToPeer(RestPeerMessage { to, payload, .. }) => {
            let command = Command::SendMessageToPeer(SendMessageToPeer {
                message_id: MessageId(0),
                peer_id: to.clone(),
                message: RtmMessage::Text(payload.clone()),
                enable_offline_messaging: false,
                enable_historical_messaging: false,
            });
            (command, payload)
        }
        RestCall::SendToChannel(RestChannelMessage { channel_id, payload, .. }) => {
            let join = request(Command::JoinChannel(JoinChannel { channel_id: channel_id.clone() }));
            if judge.judges(&join) && !project.is_member(user_id, channel_id) {
                decided(judge.judge(&join, Some(user_id), address).await)?;
            }
            let command = Command::SendChannelMessage(SendChannelMessage {
                message_id: MessageId(0),
                channel_id: channel_id.clone(),
                message: RtmMessage::Text(payload.clone()),
                enable_historical_messaging: false,
            });
            (command, payload)
        }
        _ => return Ok(()),
    };
    let frame = request(command);
    if judge.judges(&frame)
        && let Some(text) = decided(judge.judge(&frame, Some(user_id), address).await)?
    {
        *payload = text;
    }
    Ok(())
}

fn request(command: Command) -> ClientFrame {
    ClientFrame::Request { id: RequestId(0), command }
}

/// The text that takes the place of a message's own, if there is one.
fn decided(decision: Decision) -> Result<Option<Text>, Refusal> {
    match decision {
        Decision::Allow => Ok(None),
        Decision::Text(text) => Ok(Some(text)),
        Decision::Deny(reason) | Decision::Undecided(reason) => Err(denied(ErrorKind::Rejected, &reason)),
    }
}

async fn read_body<B>(shared: &Shared, request: Request<B>) -> Result<Bytes, RestRefusal>
where
    B: Body + Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    if request.body().size_hint().lower() > BODY_BYTES as u64 {
        return Err(RestRefusal::TooLarge);
    }
    let body = pin!(Limited::new(request.into_body(), BODY_BYTES));
    match timeout(shared.live().handshake_timeout, body.collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(RestRefusal::TooLarge),
        Ok(Err(_)) => Err(Refusal::new(ErrorKind::InvalidArgument, "the body did not arrive").into()),
        Err(_) => Err(Refusal::new(ErrorKind::Timeout, "the body takes too long").into()),
    }
}

/// Who calls. Some callers send a token in headers of its own and an `Authorization` that nobody can read besides: the
/// token counts.
fn caller(headers: &HeaderMap, route: &RestRoute) -> Result<RestCaller, Refusal> {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    for (token, uid) in TOKEN_HEADERS {
        if let Some(token) = text(&token).filter(|token| !token.is_empty()) {
            return user(token, text(&uid), route);
        }
    }
    let Some(authorization) = text(&header::AUTHORIZATION) else {
        return Err(unauthorized("there is no Authorization, and no token in x-ar-token or x-agora-token"));
    };
    let (scheme, rest) = authorization.split_once(' ').unwrap_or(("", authorization));
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("Basic") {
        let text = BASE64.decode(rest).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let (id, secret) = text.as_deref().and_then(|text| text.split_once(':')).unwrap_or_default();
        return match Token::new(secret) {
            Ok(secret) if !id.is_empty() => Ok(RestCaller::Key { id: id.to_owned(), secret }),
            _ => Err(unauthorized("Authorization: Basic has not ID:SECRET in Base64")),
        };
    }
    let token = match scheme {
        _ if scheme.eq_ignore_ascii_case("agora") => rest.strip_prefix("token=").map(|token| token.trim_matches('"')),
        _ if scheme.eq_ignore_ascii_case("Bearer") => Some(rest),
        _ => None,
    };
    let uid = TOKEN_HEADERS.iter().find_map(|(_, uid)| text(uid));
    match token {
        Some(token) => user(token, uid, route),
        None => Err(unauthorized("Authorization is none of Basic, Bearer and agora token=")),
    }
}

/// The user of a token: the one that is named beside it, who is to send the message, or whom the token names.
fn user(token: &str, uid: Option<&str>, route: &RestRoute) -> Result<RestCaller, Refusal> {
    let named = uid.filter(|uid| !uid.is_empty()).map(str::to_owned);
    let held = || match rtm_token::explain(token).ok()?.holder {
        Holder::Uid(uid) => Some(uid),
        _ => None,
    };
    let uid = named.or_else(|| sender(route).cloned()).or_else(held);
    let uid = uid.ok_or_else(|| no_token("the token does not name its user: x-ar-uid is needed"))?;
    match (UserId::new(uid), Token::new(token)) {
        (Ok(user_id), Ok(token)) => Ok(RestCaller::User { user_id, token }),
        _ => Err(no_token("the token or its user id is none")),
    }
}

/// Who is to send a message.
fn sender(route: &RestRoute) -> Option<&String> {
    match route {
        RestRoute::PeerMessages { user_id } | RestRoute::ChannelMessages { user_id } => Some(user_id),
        _ => None,
    }
}

fn no_token(what: &str) -> Refusal {
    Refusal::new(ErrorKind::InvalidToken, what)
}

fn unauthorized(what: &str) -> Refusal {
    Refusal::new(ErrorKind::NotAuthorized, what)
}

/// Which call a path is for, by its place in [`CALLS`].
fn place(path: &str) -> usize {
    match RestRoute::find(path) {
        Some((_, RestRoute::PeerMessages { .. })) => 0,
        Some((_, RestRoute::ChannelMessages { .. })) => 1,
        Some((_, RestRoute::Events(_))) => 2,
        Some((_, RestRoute::HistoryQuery)) => 3,
        Some((_, RestRoute::HistoryPage { .. })) => 4,
        Some((_, RestRoute::HistoryCount)) => 5,
        _ => 6,
    }
}

/// What calls are named in metrics, and their paths in traces.
const CALLS: [(&str, Option<&str>); 7] = [
    ("peer_messages", Some("/dev/v2/project/{app_id}/rtm/users/{user_id}/peer_messages")),
    ("channel_messages", Some("/dev/v2/project/{app_id}/rtm/users/{user_id}/channel_messages")),
    ("events", Some("/dev/v2/project/{app_id}/rtm/vendor/channel_events")),
    ("history_query", Some("/dev/v2/project/{app_id}/rtm/message/history/query")),
    ("history_page", Some("/dev/v2/project/{app_id}/rtm/message/history/query/{handle}")),
    ("history_count", Some("/dev/v2/project/{app_id}/rtm/message/history/count")),
    ("unknown", None),
];
const USER_EVENTS: &str = "/dev/v2/project/{app_id}/rtm/vendor/user_events";
/// What is answered; anything else counts as the last.
const STATUSES: [u16; 15] = [200, 400, 401, 403, 404, 405, 408, 410, 413, 429, 431, 501, 503, 507, 500];
/// A token, and the user whose it is.
const TOKEN_HEADERS: [(HeaderName, HeaderName); 2] = [
    (HeaderName::from_static("x-ar-token"), HeaderName::from_static("x-ar-uid")),
    (HeaderName::from_static("x-agora-token"), HeaderName::from_static("x-agora-uid")),
];
/// Some leave out the padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// A message in which everything is escaped, and room for the rest.
const BODY_BYTES: usize = 256 * 1024;
