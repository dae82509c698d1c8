//! How the application gives tokens, and how it is asked until it has one.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use rtm_codec::{Token, UserId};
use tokio::time::sleep;

/// How to get a token, as the application said.
#[derive(Clone)]
pub(crate) struct TokenProvider(Arc<dyn Fn(UserId) -> BoxFuture<'static, Result<Token, String>> + Send + Sync>);

impl TokenProvider {
    pub(crate) fn new<P, F, E>(provider: P) -> Self
    where
        P: Fn(UserId) -> F + Send + Sync + 'static,
        F: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        Self(Arc::new(move |user_id| {
            let token = provider(user_id);
            Box::pin(async move {
                let token = token.await.map_err(|error| error.into().to_string())?;
                Token::new(token).map_err(|error| error.to_string())
            })
        }))
    }

    /// A token for the user, or why there is none.
    pub(crate) async fn token(&self, user_id: UserId) -> Result<Token, String> {
        (self.0)(user_id).await
    }

    /// A token for the user, however often it takes to ask for one.
    pub(crate) async fn token_at_last(self, user_id: UserId) -> Token {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.token(user_id.clone()).await {
                Ok(token) => return token,
                Err(error) => tracing::warn!(error, "the token provider failed"),
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

impl fmt::Debug for TokenProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenProvider(..)")
    }
}

/// The pauses between attempts to get a token.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
