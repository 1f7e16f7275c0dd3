//! Over TLS: a server whose certificate is not trusted receives nothing, not even the signature.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::support::harness::{Place, Summary};
use crate::support::service::Service;

/// A host name for the service that only a proxy resolves.
pub(crate) const NAME: &str = "im.example.com";

/// Terminates TLS in front of the sandbox, with a certificate for `localhost` and [`NAME`] from its own authority.
/// Returns the URL and the authority's certificate.
pub(crate) fn in_front_of(service: &Service) -> (String, String) {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned(), NAME.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config =
        ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let behind = service.address().to_owned();
    // It ends with the process.
    std::thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((client, _)) = listener.accept().await {
                let (acceptor, behind) = (acceptor.clone(), behind.clone());
                tokio::spawn(async move {
                    // A client that does not trust the certificate closes the connection here.
                    let mut client = acceptor.accept(client).await?;
                    copy_bidirectional(&mut client, &mut TcpStream::connect(behind).await?).await
                });
            }
        });
    });
    (url, authority.pem())
}

#[test]
fn a_certificate_counts_if_its_authority_is_trusted() {
    let (place, service) = (Place::with_list(20), Service::start("none"));
    let (url, authority) = in_front_of(&service);
    place.write("ca.pem", authority);
    let job = format!("--input edits.csv --resume ledger.db --endpoint {url} --json");

    let ran = place.runner(&job).credentials().exits(3);
    assert_eq!(ran.summary(), Summary { rows: 20, not_reached: 20, ..Summary::default() });
    assert!(ran.json()["reason"].as_str().unwrap().contains("certificate"), "{ran:#?}");
    assert_eq!(service.stats().requests(), 0);

    place.runner(&format!("{job} --ca-cert ca.pem")).credentials().exits(0);
    assert_eq!(service.stats().edited_once(), 20);
}
