//! Version 007: `"007" base64(zlib(content))`.
//!
//! ```text
//! content   bytes(signature)  signed
//! signed    bytes(App-ID)  u32 issue  u32 life  u32 salt  u16 count  service × count
//! service   u16 type  { u16 privilege → u32 life }  fields of the type
//! signature HMAC-SHA256(HMAC-SHA256(salt, HMAC-SHA256(issue, certificate)), signed)
//! ```
//! Integers are little-endian, `bytes` is a 16-bit length and the bytes, the issue is a unix second
//! and lives are seconds after it. The zlib bytes depend on who compressed: two tokens of the same
//! content may differ as text.

use std::{collections::BTreeMap, io::Write as _};

use flate2::{Compression, Decompress, FlushDecompress, Status, write::ZlibEncoder};

use crate::{
    Certificate, MAX_CONTENT_LENGTH, MAX_TTL_SECONDS, Permission, Service, TokenError, Version,
    bytes::{Reader, decode_base64, encode_base64, put_bytes, put_privilege},
    is_app_id, signature,
    signature::SIGNATURE_LENGTH,
};

/// A decoded token whose signature was not checked, and whose services were not read yet.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) app_id: String,
    pub(crate) issued_at: u32,
    ttl: u32,
    salt: u32,
    signature: [u8; SIGNATURE_LENGTH],
    signed: Vec<u8>,
    /// Where in `signed` the services begin.
    services_at: usize,
}

/// One service's part of a token.
pub(crate) struct Block {
    pub(crate) service: Service,
    pub(crate) privileges: BTreeMap<u16, u32>,
    pub(crate) channel: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) role: Option<i16>,
    pub(crate) permissions: Vec<Permission>,
}

/// The services of a token.
pub(crate) struct Services {
    pub(crate) blocks: Vec<Block>,
    /// A service type that is not known here. Blocks do not tell their length, so nothing behind
    /// its beginning can be read.
    pub(crate) unknown: Option<u16>,
}

/// Signs a token with the RTM service alone, that lives for `ttl` seconds from `issued_at`.
pub(crate) fn build(app_id: &str, certificate: &Certificate, uid: &str, salt: u32, issued_at: u32, ttl: u32) -> String {
    let mut signed = Vec::new();
    put_bytes(&mut signed, app_id.as_bytes());
    signed.extend_from_slice(&issued_at.to_le_bytes());
    signed.extend_from_slice(&ttl.to_le_bytes());
    signed.extend_from_slice(&salt.to_le_bytes());
    signed.extend_from_slice(&1_u16.to_le_bytes());
    signed.extend_from_slice(&Service::Rtm.number().to_le_bytes());
    put_privilege(&mut signed, LOGIN, ttl);
    put_bytes(&mut signed, uid.as_bytes());

    let key = signing_key(certificate, issued_at, salt);
    let mut content = Vec::new();
    put_bytes(&mut content, &signature::sign(&key, &[&signed]));
    content.extend_from_slice(&signed);
    format!("{}{}", Version::V007.as_str(), encode_base64(&deflate(&content)))
}

impl Token {
    /// Decodes what follows after "007".
    pub(crate) fn parse(body: &str) -> Result<Self, TokenError> {
        let content = inflate(&decode_base64(body)?)?;
        let mut reader = Reader::new(&content);
        let signature = reader.signature()?;
        let signed = reader.rest();
        let app_id = reader.bytes("App ID")?;
        if !is_app_id(app_id) {
            return Err(TokenError::BadAppId);
        }
        Ok(Self {
            app_id: String::from_utf8_lossy(app_id).into_owned(),
            issued_at: reader.u32("issue time")?,
            ttl: reader.u32("life")?,
            salt: reader.u32("salt")?,
            signature,
            signed: signed.to_vec(),
            services_at: signed.len() - reader.rest().len(),
        })
    }

    /// Whether `certificate` made this token.
    pub(crate) fn is_signed_by(&self, certificate: &Certificate) -> bool {
        let key = signing_key(certificate, self.issued_at, self.salt);
        signature::holds(&self.signature, &key, &[&self.signed])
    }

    pub(crate) fn services(&self) -> Result<Services, TokenError> {
        let mut reader = Reader::new(self.signed.get(self.services_at..).unwrap_or_default());
        let count = reader.u16("services")?;
        let mut blocks = Vec::new();
        for _ in 0..count {
            let number = reader.u16("services")?;
            let Some(service) = Service::from_number(number) else {
                return Ok(Services { blocks, unknown: Some(number) });
            };
            blocks.push(Block::read(service, &mut reader)?);
        }
        reader.finish()?;
        Ok(Services { blocks, unknown: None })
    }

    /// The unix second at which `ttl` seconds after the issue are over, or the token itself is.
    pub(crate) fn ends_at(&self, ttl: u32) -> u64 {
        u64::from(self.issued_at) + u64::from(ttl.min(self.ttl).min(MAX_TTL_SECONDS))
    }
}

impl Services {
    /// For how many seconds after the issue `uid` may log in. Each service is a grant of its own,
    /// so of several for one user the longest counts.
    pub(crate) fn login_ttl(&self, uid: &str) -> Result<u32, TokenError> {
        let logins = || self.blocks.iter().filter_map(Block::login);
        if logins().next().is_none() {
            return Err(TokenError::NoLoginPrivilege);
        }
        logins().filter_map(|(user, ttl)| (user == uid).then_some(ttl)).max().ok_or(TokenError::AnotherUser)
    }

    /// The first user that may log in, or else that an RTM service is for.
    pub(crate) fn rtm_user(&self) -> Option<&str> {
        let login = self.blocks.iter().find_map(Block::login);
        login.map(|(user, _)| user).or_else(|| self.blocks.iter().find_map(Block::rtm_user))
    }
}

impl Block {
    /// Reads what follows after the service's type.
    fn read(service: Service, reader: &mut Reader<'_>) -> Result<Self, TokenError> {
        let mut block = Self {
            service,
            privileges: reader.privileges()?,
            channel: None,
            user: None,
            role: None,
            permissions: Vec::new(),
        };
        match service {
            Service::Rtc | Service::Streaming | Service::Fcdn => {
                block.channel = Some(reader.text("channel")?);
                block.user = Some(reader.text("user id")?);
            }
            Service::Rtm | Service::Chat => block.user = Some(reader.text("user id")?),
            Service::Apaas => {
                block.channel = Some(reader.text("room")?);
                block.user = Some(reader.text("user id")?);
                block.role = Some(reader.i16("role")?);
            }
            Service::Rtm2 => {
                block.user = Some(reader.text("user id")?);
                block.permissions = permissions(reader)?;
            }
            Service::Fpa | Service::ConvoAi | Service::Stt => {}
        }
        Ok(block)
    }

    /// The user that this block lets log in to RTM, and for how many seconds after the issue.
    fn login(&self) -> Option<(&str, u32)> {
        Some((self.rtm_user()?, *self.privileges.get(&LOGIN)?))
    }

    /// The user of an RTM service.
    fn rtm_user(&self) -> Option<&str> {
        match self.service {
            Service::Rtm | Service::Rtm2 => self.user.as_deref(),
            Service::Rtc
            | Service::Streaming
            | Service::Fpa
            | Service::Chat
            | Service::Fcdn
            | Service::Apaas
            | Service::ConvoAi
            | Service::Stt => None,
        }
    }
}

fn permissions(reader: &mut Reader<'_>) -> Result<Vec<Permission>, TokenError> {
    const FIELD: &str = "permissions";
    let mut permissions = Vec::new();
    for _ in 0..reader.u16(FIELD)? {
        let resource = reader.u16(FIELD)?;
        for _ in 0..reader.u16(FIELD)? {
            permissions.push(Permission {
                resource,
                access: reader.u16(FIELD)?,
                names: (0..reader.u16(FIELD)?).map(|_| reader.text(FIELD)).collect::<Result<_, _>>()?,
            });
        }
    }
    Ok(permissions)
}

/// The certificate is what is signed here, and the integers are the keys.
fn signing_key(certificate: &Certificate, issued_at: u32, salt: u32) -> [u8; SIGNATURE_LENGTH] {
    let inner = signature::sign(&issued_at.to_le_bytes(), &[certificate.as_bytes()]);
    signature::sign(&salt.to_le_bytes(), &[&inner])
}

fn deflate(content: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).and_then(|()| encoder.finish()).expect("a Vec takes every write")
}

/// Inflates one whole zlib stream. The output grows only as far as it is filled, up to the limit.
fn inflate(compressed: &[u8]) -> Result<Vec<u8>, TokenError> {
    let mut stream = Decompress::new(true);
    let mut content = Vec::with_capacity(1024);
    let mut rest = compressed;
    loop {
        let before = (rest.len(), content.len());
        let status =
            stream.decompress_vec(rest, &mut content, FlushDecompress::None).map_err(|_| TokenError::BadCompression)?;
        let consumed = stream.total_in() as usize;
        rest = compressed.get(consumed..).unwrap_or_default();
        match status {
            _ if content.len() > MAX_CONTENT_LENGTH => return Err(TokenError::InflatesTooFar),
            Status::StreamEnd => break,
            Status::Ok | Status::BufError if content.len() == content.capacity() => {
                content.reserve(content.len());
            }
            Status::Ok | Status::BufError if (rest.len(), content.len()) != before => {}
            // There was room to go on, so it is the input that ended too early.
            Status::Ok | Status::BufError => {
                return Err(TokenError::Truncated { field: "zlib stream" });
            }
        }
    }
    match rest.len() {
        0 => Ok(content),
        count => Err(TokenError::TrailingBytes { count }),
    }
}

/// The privilege to log in, of the services RTM and RTM2.
pub(crate) const LOGIN: u16 = 1;
