//! Deliveries over TLS: only to who proves with a certificate that the server believes that it is who was meant.

use super::push::SECOND;
use super::server::Server;
use super::subscriptions::{ask, subscribe};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig, crypto::ring::default_provider};
use xenledger::subscribe::push::address::Allowed;
use xenledger::subscribe::push::post::Post;

/// An authority that signs certificates.
struct Authority {
    key: KeyPair,
    params: CertificateParams,
}

impl Authority {
    fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority { key: KeyPair::generate().expect("a key"), params }
    }

    /// What a server shows that has a certificate for a name and some years.
    fn certify(&self, name: &str, years: (i32, i32)) -> ServerConfig {
        let mut params = CertificateParams::new(vec![name.to_string()]).expect("a name");
        params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let issuer = Issuer::from_params(&self.params, &self.key);
        let certificate = params.signed_by(&key, &issuer).expect("a certificate");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("they fit")
    }

    /// Posts that believe this authority.
    fn believed(&self) -> Post {
        let mut roots = RootCertStore::empty();
        let own = self.params.self_signed(&self.key).expect("a certificate");
        roots.add(own.der().clone()).expect("an authority");
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Post::with_tls(Allowed { private: true, plain: false }, Arc::new(config))
    }
}

/// A receiver behind TLS: where it is, and how many posts came through.
async fn receiver(config: Option<ServerConfig>) -> (String, Arc<AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("https://{}/hook", listener.local_addr().expect("an address"));
    let (posts, counted) = (Arc::new(AtomicUsize::new(0)), Arc::default());
    let counting: Arc<AtomicUsize> = Arc::clone(&posts);
    let answer = move || async move {
        counting.fetch_add(1, Ordering::SeqCst);
    };
    let router = axum::Router::new().route("/hook", axum::routing::post(answer));
    let silent: Arc<std::sync::Mutex<Vec<tokio::net::TcpStream>>> = counted;
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            let Some(config) = config.clone() else {
                // Accepts, and never says a word.
                silent.lock().expect("nobody panics").push(stream);
                continue;
            };
            let service = hyper_util::service::TowerToHyperService::new(router.clone());
            tokio::spawn(async move {
                let Ok(stream) = TlsAcceptor::from(Arc::new(config)).accept(stream).await else { return };
                let stream = hyper_util::rt::TokioIo::new(stream);
                drop(hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await);
            });
        }
    });
    (url, posts)
}

#[tokio::test]
async fn only_who_proves_to_be_meant_is_told() {
    let (known, unknown) = (Authority::new("known"), Authority::new("unknown"));
    let valid = (2020, 2090);
    let cases = [
        ("a good certificate", Some(known.certify("127.0.0.1", valid)), None),
        ("an unknown authority", Some(unknown.certify("127.0.0.1", valid)), Some("UnknownIssuer")),
        ("another host's", Some(known.certify("example.org", valid)), Some("not valid for name")),
        ("an expired one", Some(known.certify("127.0.0.1", (2010, 2011))), Some("expired")),
        ("one of the future", Some(known.certify("127.0.0.1", (2080, 2090))), Some("not valid yet")),
        ("no word at all", None, Some("in time")),
    ];
    let server = Server::posting(known.believed()).await;
    let mut subscribed = Vec::new();
    for (name, config, why) in cases {
        let (url, posts) = receiver(config).await;
        let own = subscribe(&server, json!({"classes": ["network"], "destination": url, "give_up_after": 1000})).await;
        subscribed.push((name, own, posts, why));
    }
    ask(&server, "network.create", &[json!({"name_label": "lan"})]).await;
    for (name, own, posts, why) in &subscribed {
        let get =
            async |field: &str| ask(&server, &format!("subscription.get_{field}"), std::slice::from_ref(own)).await;
        let Some(why) = why else {
            while posts.load(Ordering::SeqCst) == 0 {
                server.pass(SECOND).await;
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            assert_eq!(get("last_error").await, "", "{name}");
            continue;
        };
        while get("failures").await.as_u64() < Some(2) {
            server.pass(SECOND).await;
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let error = get("last_error").await;
        assert!(error.as_str().expect("text").contains(why), "{name}: {error}");
        assert_eq!(posts.load(Ordering::SeqCst), 0, "{name}: nothing was told");
    }
}
