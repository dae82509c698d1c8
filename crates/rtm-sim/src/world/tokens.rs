//! Tokens in a world whose project has a certificate, and certificates that change.

use std::time::Duration;

use rtm_codec::Token;
use rtm_token::{Builder, Certificate};

use super::World;

impl World {
    /// Whether the project asks for tokens.
    pub(crate) fn has_tokens(&self) -> bool {
        !self.project.certificates.is_empty()
    }

    /// A token for a device's user, which lives so long; `None` where the project asks for none.
    pub(crate) fn make_token(&mut self, device: usize, ttl: Duration) -> Option<Token> {
        let issued_at = self.server_now().unix_ms / 1000;
        let salt = self.rng.number() as u32;
        let certificate = self.project.certificates.first()?;
        let user_id = self.devices[device].user_id.as_str();
        let token = Builder::new(self.project.app_id.as_str(), certificate, user_id, issued_at, salt).ttl(ttl).build();
        token.ok().and_then(|text| Token::new(text).ok())
    }

    /// The server starts again with another certificate, and refuses all tokens of the one before.
    pub(crate) fn change_certificate(&mut self) {
        if !self.has_tokens() {
            return;
        }
        let digits: String = self.rng.bytes::<16>().iter().map(|byte| format!("{byte:02x}")).collect();
        let Ok(certificate) = Certificate::new(&digits) else { return };
        self.trace.line(self.now, "server", || "has another certificate".to_owned());
        self.counts.certificates += 1;
        self.project.certificates = vec![certificate];
        for server in 0..self.servers.len() {
            self.crash_server(server);
        }
    }
}
