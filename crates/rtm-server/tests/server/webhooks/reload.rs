//! Endpoints while the server reads its configuration anew.

use super::*;

/// An endpoint with TLS, which takes everything. Says which certificate of a client it was shown, in each connection.
async fn tls_endpoint(
    own: &rcgen::CertifiedKey<rcgen::KeyPair>,
    clients: &[&Path],
) -> (SocketAddr, mpsc::UnboundedReceiver<Vec<u8>>) {
    let mut roots = rustls::RootCertStore::empty();
    clients.iter().for_each(|path| roots.add(CertificateDer::from_pem_file(path).unwrap()).unwrap());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let tls = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let tls = tls.with_client_cert_verifier(verifier.build().unwrap());
    let tls = tls.with_single_cert(vec![own.cert.der().clone()], key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (shown, certificates) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, shown) = (acceptor.clone(), shown.clone());
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let certificate = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
                if stream.read(&mut [0; 64 * 1024]).await.is_ok() {
                    let _ = shown.send(certificate);
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                    let _ = stream.write_all(answer).await;
                    let _ = stream.shutdown().await;
                }
            });
        }
    });
    (address, certificates)
}

#[tokio::test]
async fn a_reload_takes_files_that_were_renewed_in_their_places() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let made = |name: &str| rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let (own, old, new) = (made("localhost"), made("old"), made("new"));
    let show = |client: &rcgen::CertifiedKey<rcgen::KeyPair>| {
        std::fs::write(path("client.pem"), client.cert.pem()).unwrap();
        std::fs::write(path("client.key"), client.signing_key.serialize_pem()).unwrap();
    };
    let trust = |authority: &rcgen::CertifiedKey<rcgen::KeyPair>| {
        std::fs::write(path("ca.pem"), authority.cert.pem()).unwrap();
    };
    std::fs::write(path("old.pem"), old.cert.pem()).unwrap();
    std::fs::write(path("new.pem"), new.cert.pem()).unwrap();
    let (address, mut shown) = tls_endpoint(&own, &[&path("old.pem"), &path("new.pem")]).await;
    show(&old);
    trust(&own);
    let mut target =
        HookTarget::new(format!("https://localhost:{}/", address.port()), vec![WebhookSecret::new(SECRET).unwrap()]);
    target.allow_private = true;
    target.ca_file = Some(path("ca.pem"));
    target.client_certificate = Some(path("client.pem"));
    target.client_key = Some(path("client.key"));
    let mut webhook = WebhookConfig::new("one", target);
    webhook.types = vec!["user.online".to_owned()];
    webhook.batch_max = 1;
    let mut config = rtm_server::ServerConfig::default();
    config.listen = vec![SocketAddr::from(([127, 0, 0, 1], 0)).into()];
    config.projects = vec![app_id().into()];
    let mut told = HookConfig::new(app_id());
    told.webhooks = vec![webhook];
    config.hooks = vec![told];
    let next = config.clone();
    let server = rtm_server::ServerBuilder::from(config).config_source(move || Ok::<_, String>(next.clone()));
    let server = server.start().await.unwrap();

    let mut told = async |user: &str| {
        comes_and_goes(&server, user, "room").await;
        soon("a request", shown.recv()).await.unwrap()
    };
    assert_eq!(told("alice").await, old.cert.der().to_vec());
    show(&new);
    server.reload().await.unwrap();
    assert_eq!(told("bob").await, new.cert.der().to_vec());
    // Whom it trusts too: this authority knows nothing of the endpoint.
    trust(&old);
    server.reload().await.unwrap();
    comes_and_goes(&server, "carol", "room").await;
    trust(&own);
    server.reload().await.unwrap();
    assert_eq!(soon("carol's", shown.recv()).await.unwrap(), new.cert.der().to_vec());
    assert!(shown.try_recv().is_err(), "nobody was told of carol before");
}

#[tokio::test]
async fn a_reload_sends_nothing_again_that_is_on_its_way() {
    let is_alice = |events: &[Value]| events.iter().any(|event| is(event, "user.online", "alice"));
    let mut endpoint = Endpoint::start(move |events| if is_alice(events) { HELD } else { 200 }).await;
    let mut webhook = endpoint.webhook("one");
    webhook.types = vec!["user.online".to_owned()];
    webhook.target.timeout = Duration::from_secs(20);
    let mut config = rtm_server::ServerConfig::default();
    config.listen = vec![SocketAddr::from(([127, 0, 0, 1], 0)).into()];
    config.projects = vec![app_id().into()];
    let mut told = HookConfig::new(app_id());
    told.webhooks = vec![webhook];
    config.hooks = vec![told];
    let mut next = config.clone();
    next.hooks[0].webhooks[0].batch_max = 7;
    let server = rtm_server::ServerBuilder::from(config).config_source(move || Ok::<_, String>(next.clone()));
    let server = server.start().await.unwrap();
    comes_and_goes(&server, "alice", "room").await;
    endpoint.until("a request", |endpoint| !endpoint.got().is_empty()).await;
    server.reload().await.unwrap();
    comes_and_goes(&server, "bob", "room").await;
    endpoint.let_go.add_permits(1);
    endpoint.until_taken("user.online", "bob").await;
    let got = endpoint.got();
    assert_eq!(got.iter().filter(|got| is_alice(&got.events())).count(), 1, "{got:?}");
}
