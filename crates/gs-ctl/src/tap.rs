//! `gs-ctl tap` and `tail`: a sample of what passes, until interrupted.

use std::io;
use std::io::IsTerminal;
use std::io::Write;

use gophership_control::Client;
use gophership_control::ClientError;
use gophership_control::filter::Filter;
use gophership_control::proto;
use gophership_otlp::DecodeLimits;
use gophership_otlp::Signal;
use gophership_otlp::wire_to_json;
use ratatui::crossterm::terminal;
use serde_json::Value;

use crate::args::Format;
use crate::args_live::TapFormat;
use crate::args_live::TapOptions;
use crate::error::CtlError;
use crate::print;
use crate::render;

/// What one tap shows.
pub(crate) struct TapOrder<'a> {
    /// The component; empty means all sources.
    pub(crate) component: &'a str,
    /// The options.
    pub(crate) options: &'a TapOptions,
    /// The output format of the program.
    pub(crate) output: Format,
}

/// The form in which requests are printed.
#[derive(Clone, Copy)]
enum Form {
    Json,
    Yaml,
    /// Cut to this many characters.
    Lines(Option<usize>),
}

impl TapOrder<'_> {
    /// Checks what can be checked before anybody is asked.
    ///
    /// # Errors
    ///
    /// When the filter is none.
    pub(crate) fn check(&self) -> Result<(), CtlError> {
        let filter = self.options.filter.parse::<Filter>();
        filter.map(drop).map_err(|error| CtlError::Usage(error.to_string()))
    }

    /// Shows what passes until the limit, the end of the time, an interrupt, or until nobody reads it any more.
    pub(crate) async fn run(&self, client: &mut Client) -> Result<u8, CtlError> {
        let TapOptions { filter, limit, duration, .. } = self.options;
        let request = proto::TapRequest {
            component: self.component.to_owned(),
            filter: filter.clone(),
            limit_records: limit.unwrap_or(0),
        };
        let mut stream = client.call(async |control| control.tap(request).await).await?;
        let is_over = async {
            match duration {
                Some(duration) => tokio::time::sleep(duration.0).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(is_over);
        let form = self.form();
        let mut unseen = (0, 0);
        loop {
            let message = tokio::select! {
                message = stream.message() => message,
                () = &mut is_over => break,
                Ok(()) = tokio::signal::ctrl_c() => break,
            };
            let Some(response) = message.map_err(|status| client.error(&status))? else { break };
            unseen = (response.dropped_requests, response.left_out_records);
            if !response.request.is_empty() {
                print(self.text(&response, form)?.as_bytes())?;
            }
        }
        tell(unseen);
        Ok(0)
    }

    fn form(&self) -> Form {
        match (self.options.format, self.output) {
            (Some(TapFormat::Json), _) | (None, Format::Json) => Form::Json,
            (None, Format::Yaml) => Form::Yaml,
            (Some(TapFormat::Line), _) | (None, Format::Table) => {
                let is_terminal = io::stdout().is_terminal();
                let width = terminal::size().ok().filter(|_| is_terminal);
                Form::Lines(width.map(|(columns, _)| usize::from(columns)))
            }
        }
    }

    /// A request as it is printed.
    fn text(&self, response: &proto::TapResponse, form: Form) -> Result<String, CtlError> {
        let broken = |what: String| CtlError::Client(ClientError::Refused(what));
        let signal: Signal = response.signal.parse().map_err(|error| broken(format!("{error}")))?;
        let mut json = Vec::new();
        wire_to_json(signal, &response.request, &DecodeLimits::default(), &mut json)
            .map_err(|error| broken(format!("a request has no JSON form: {error}")))?;
        if let Form::Json = form {
            json.push(b'\n');
            return Ok(String::from_utf8_lossy(&json).into_owned());
        }
        let value: Value =
            serde_json::from_slice(&json).map_err(|error| broken(error.to_string()))?;
        Ok(match form {
            Form::Lines(width) => {
                // Of several sources each line says of which one it is.
                let place = if self.component.is_empty() { &*response.component } else { "" };
                render::lines(&value, place, width)
            }
            Form::Json | Form::Yaml => {
                format!("---\n{}", serde_yaml::to_string(&value).unwrap_or_default())
            }
        })
    }
}

/// Says on standard error what was not shown.
fn tell((requests, records): (u64, u64)) {
    let mut parts = Vec::new();
    if requests != 0 {
        parts.push(format!("{requests} requests passed too fast for the tap and were left out"));
    }
    if records != 0 {
        parts.push(format!("{records} records of large requests were left out"));
    }
    if !parts.is_empty() {
        // If standard error is closed there is nobody to tell.
        let _unheard = writeln!(io::stderr().lock(), "this is a sample: {}", parts.join(", and "));
    }
}

#[cfg(test)]
mod tests {
    use gophership_otlp::json_to_wire;

    use super::*;
    use crate::render::golden::check;

    /// A request with one record, as the server shows it.
    fn response() -> proto::TapResponse {
        let json = br#"{"resourceLogs": [{
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "cart"}}]},
            "scopeLogs": [{"logRecords": [{
                "timeUnixNano": "1769860800000000000", "severityNumber": 13,
                "body": {"stringValue": "stock is low"},
                "attributes": [{"key": "sku", "value": {"intValue": "7"}}]}]}]}]}"#;
        let request = json_to_wire(Signal::Logs, json, &DecodeLimits::default()).unwrap();
        proto::TapResponse {
            component: "otlp".to_owned(),
            signal: "logs".to_owned(),
            request: request.to_vec(),
            records: 1,
            ..proto::TapResponse::default()
        }
    }

    #[test]
    fn what_passes_is_shown_as_the_files_say() {
        let options = TapOptions::default();
        for (name, component) in [("tap", "otlp"), ("tail", "")] {
            check(name, |output| {
                let order = TapOrder { component, options: &options, output };
                let form = match output {
                    Format::Table => Form::Lines(None),
                    _ => order.form(),
                };
                order.text(&response(), form).unwrap()
            });
        }
    }
}
