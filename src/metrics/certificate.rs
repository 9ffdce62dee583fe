//! Until when the certificates are valid that this process presents.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus::IntGaugeVec;

use crate::metrics::Builder;
use crate::metrics::Metrics;

/// The certificates that are shown for each component and option, each with its number and its end. The last one is
/// in force; those before come back if it is given up, as at a reload that fails.
#[derive(Default)]
struct Shown {
    all: BTreeMap<[String; 2], Vec<(u64, i64)>>,
    count: u64,
}

pub(super) struct CertificateFamily {
    expiry: IntGaugeVec,
    shown: Arc<Mutex<Shown>>,
}

/// A certificate in force; once dropped it is shown no more.
#[must_use = "a certificate is shown until this is dropped"]
pub struct ShownCertificate {
    expiry: IntGaugeVec,
    shown: Arc<Mutex<Shown>>,
    labels: [String; 2],
    number: u64,
}

impl Builder {
    pub(super) fn certificates(&self) -> CertificateFamily {
        CertificateFamily {
            expiry: self.gauge(
                "certificate_expiry_timestamp_seconds",
                &["component", "option"],
                "When the certificate in force that the option names expires, in seconds since \
                 1970; of a chain the certificate that expires first.",
            ),
            shown: Arc::default(),
        }
    }
}

impl Metrics {
    /// Shows when a certificate expires, in seconds since 1970, until the result is dropped. The component
    /// is `control` for the control port.
    pub fn certificate(&self, component: &str, option: &str, expires: i64) -> ShownCertificate {
        let CertificateFamily { expiry, shown } = &self.certificates;
        let labels = [component.to_owned(), option.to_owned()];
        let mut known = shown.lock();
        let number = known.count;
        known.count += 1;
        known.all.entry(labels.clone()).or_default().push((number, expires));
        expiry.with_label_values(&labels).set(expires);
        drop(known);
        ShownCertificate { expiry: expiry.clone(), shown: Arc::clone(shown), labels, number }
    }
}

impl Drop for ShownCertificate {
    fn drop(&mut self) {
        let mut known = self.shown.lock();
        let Some(others) = known.all.get_mut(&self.labels) else { return };
        others.retain(|(number, _)| *number != self.number);
        if let Some((_, expires)) = others.last() {
            self.expiry.with_label_values(&self.labels).set(*expires);
        } else {
            known.all.remove(&self.labels);
            // One that is not there need not be taken away.
            let _removed = self.expiry.remove_label_values(&self.labels);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_shown_as_long_as_it_or_its_successor_is_in_force() {
        let metrics = Metrics::new();
        let shown = || {
            let text = metrics.render().unwrap();
            let line = text.lines().find(|line| line.starts_with("gophership_certificate_expiry"));
            line.map(|line| line.rsplit_once(' ').unwrap().1.to_owned())
        };
        let first = metrics.certificate("otlp", "grpc.tls.cert", 100);
        assert_eq!(shown().as_deref(), Some("100"));
        let second = metrics.certificate("otlp", "grpc.tls.cert", 200);
        assert_eq!(shown().as_deref(), Some("200"));
        drop(second);
        assert_eq!(shown().as_deref(), Some("100"), "a reload that failed");
        let third = metrics.certificate("otlp", "grpc.tls.cert", 300);
        drop(first);
        assert_eq!(shown().as_deref(), Some("300"), "a reload that did not");
        drop(third);
        assert_eq!(shown(), None);
    }
}
