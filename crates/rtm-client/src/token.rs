//! How the application gives tokens.

use std::{error::Error, fmt, sync::Arc};

use futures::future::BoxFuture;
use rtm_codec::{Token, UserId};

/// How to get a token, as the application said.
#[derive(Clone)]
pub(crate) struct TokenProvider(Arc<dyn Fn(UserId) -> BoxFuture<'static, Provided> + Send + Sync>);

/// A token, or the provider's own error.
type Provided = Result<Token, Arc<dyn Error + Send + Sync>>;

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
                let token = token.await.map_err(|error| Arc::from(error.into()))?;
                Token::new(token).map_err(|error| Arc::new(error) as Arc<dyn Error + Send + Sync>)
            })
        }))
    }

    /// A token for the user, or why there is none.
    pub(crate) async fn token(&self, user_id: UserId) -> Provided {
        (self.0)(user_id).await
    }
}

impl fmt::Debug for TokenProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenProvider(..)")
    }
}
