//! A second, independent writer of both formats, for tokens that the builder would never make.

#![allow(dead_code, reason = "each test file uses another part")]

use std::io::{Read as _, Write as _};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::{Compression, read::ZlibDecoder, write::ZlibEncoder};
use hmac::{Hmac, KeyInit as _, Mac as _};
use rtm_token::Certificate;
use sha2::Sha256;

pub(crate) const APP_ID: &str = "970CA35de60c44645bbae8a215061b33";
pub(crate) const CERTIFICATE: &str = "5CFd2fd1755d40ecb72977518be15d3b";
pub(crate) const OTHER_CERTIFICATE: &str = "5CFd2fd1755d40ecb72977518be15d3c";
pub(crate) const DAY: u32 = 86_400;

pub(crate) fn certificate(text: &str) -> Certificate {
    Certificate::new(text).unwrap()
}

/// `bytes(x)` of the formats.
pub(crate) fn lp(bytes: &[u8]) -> Vec<u8> {
    let mut out = (bytes.len() as u16).to_le_bytes().to_vec();
    out.extend(bytes);
    out
}

pub(crate) fn map(entries: &[(u16, u32)]) -> Vec<u8> {
    let mut out = (entries.len() as u16).to_le_bytes().to_vec();
    for (key, value) in entries {
        out.extend(key.to_le_bytes());
        out.extend(value.to_le_bytes());
    }
    out
}

pub(crate) fn hmac(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(data);
    mac.finalize().into_bytes().to_vec()
}

pub(crate) fn message_006(salt: u32, ts: u32, privileges: &[(u16, u32)]) -> Vec<u8> {
    [&salt.to_le_bytes()[..], &ts.to_le_bytes(), &map(privileges)].concat()
}

/// Signs any message, however broken, for strings A and B.
pub(crate) fn signed_006(a: &str, b: &str, message: &[u8]) -> String {
    let data = [APP_ID.as_bytes(), a.as_bytes(), b.as_bytes(), message].concat();
    let content = [
        lp(&hmac(CERTIFICATE.as_bytes(), &data)),
        crc32fast::hash(a.as_bytes()).to_le_bytes().to_vec(),
        crc32fast::hash(b.as_bytes()).to_le_bytes().to_vec(),
        lp(message),
    ]
    .concat();
    text_006(&content)
}

pub(crate) fn token_006(a: &str, b: &str, salt: u32, ts: u32, privileges: &[(u16, u32)]) -> String {
    signed_006(a, b, &message_006(salt, ts, privileges))
}

pub(crate) fn text_006(content: &[u8]) -> String {
    format!("006{APP_ID}{}", STANDARD.encode(content))
}

pub(crate) fn content_006(token: &str) -> Vec<u8> {
    STANDARD.decode(&token[35..]).unwrap()
}

/// The RTM service block (type 2) of a 007 token.
pub(crate) fn rtm_service(uid: &str, privileges: &[(u16, u32)]) -> Vec<u8> {
    [&2_u16.to_le_bytes()[..], &map(privileges), &lp(uid.as_bytes())].concat()
}

/// Signs any services, however broken.
pub(crate) fn content_007_of(issue: u32, life: u32, salt: u32, count: u16, services: &[u8]) -> Vec<u8> {
    let info = [
        &lp(APP_ID.as_bytes())[..],
        &issue.to_le_bytes(),
        &life.to_le_bytes(),
        &salt.to_le_bytes(),
        &count.to_le_bytes(),
        services,
    ]
    .concat();
    let key = hmac(&issue.to_le_bytes(), CERTIFICATE.as_bytes());
    let key = hmac(&salt.to_le_bytes(), &key);
    [lp(&hmac(&key, &info)), info].concat()
}

pub(crate) fn token_007(issue: u32, life: u32, salt: u32, count: u16, services: &[u8]) -> String {
    text_007(&content_007_of(issue, life, salt, count, services))
}

pub(crate) fn text_007(content: &[u8]) -> String {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).unwrap();
    format!("007{}", STANDARD.encode(encoder.finish().unwrap()))
}

pub(crate) fn content_007(token: &str) -> Vec<u8> {
    let compressed = STANDARD.decode(&token[3..]).unwrap();
    let mut content = Vec::new();
    ZlibDecoder::new(&compressed[..]).read_to_end(&mut content).unwrap();
    content
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
