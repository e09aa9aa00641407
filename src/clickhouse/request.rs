//! What an HTTP request asks of the engine: the parameters of its address, of its headers and of a multipart form.
//!
//! Everything that is no parameter of the HTTP protocol itself is a setting of the engine, as on a ClickHouse server.
//! User, password, roles and sessions are taken and ignored: this engine has one user, and listens on loopback.

use axum::http::{HeaderMap, Method};

/// Settings and parameters together; more is an attack or a mistake.
const PARAMETERS_MAX: usize = 512;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) query: String,
    pub(super) database: String,
    pub(super) default_format: String,
    pub(super) settings: Vec<(String, String)>,
    pub(super) parameters: Vec<(String, String)>,
    /// The request's body is in compressed frames.
    pub(super) decompress: bool,
    /// The answer is wanted in compressed frames.
    pub(super) compress: bool,
    /// The answer may not start before the query has ended.
    pub(super) wait_end: bool,
    pub(super) query_id: Option<String>,
}

impl Call {
    /// From the address and the headers.
    pub(super) fn of(method: &Method, pairs: Vec<(String, String)>, headers: &HeaderMap) -> Result<Self, String> {
        if pairs.len() > PARAMETERS_MAX {
            return Err(format!("{} parameters in one request, {PARAMETERS_MAX} is the most", pairs.len()));
        }
        let mut call = Self::default();
        for (name, value) in pairs {
            call.put(&name, value);
        }
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        if call.database.is_empty() {
            call.database = header("x-clickhouse-database").unwrap_or_default();
        }
        if call.default_format.is_empty() {
            call.default_format = header("x-clickhouse-format").unwrap_or_default();
        }
        // A link must not change anything: as on the server, GET implies readonly.
        if method == Method::GET && !call.settings.iter().any(|(name, _)| name == "readonly") {
            call.settings.push(("readonly".to_owned(), "2".to_owned()));
        }
        Ok(call)
    }

    /// One parameter; the last one of a name counts, `query` is put together.
    pub(super) fn put(&mut self, name: &str, value: String) {
        let on = || matches!(value.as_str(), "1" | "true");
        match name {
            "query" => self.query.push_str(&value),
            "database" => self.database = value,
            "default_format" => self.default_format = value,
            "query_id" => self.query_id = Some(value),
            "decompress" => self.decompress = on(),
            "compress" => self.compress = on(),
            "wait_end_of_query" => self.wait_end = on(),
            "user"
            | "password"
            | "quota_key"
            | "role"
            | "session_id"
            | "session_timeout"
            | "session_check"
            | "buffer_size"
            | "stacktrace"
            | "close_session"
            | "client_protocol_version" => {}
            _ => match name.strip_prefix("param_") {
                Some(parameter) => self.parameters.push((parameter.to_owned(), value)),
                None => self.settings.push((name.to_owned(), value)),
            },
        }
    }

    /// The fields of a `multipart/form-data` body, in which clients send a query with long parameters.
    pub(super) fn put_form(&mut self, content_type: &str, body: &[u8]) -> Result<(), String> {
        let boundary = content_type
            .split(';')
            .find_map(|part| part.trim().strip_prefix("boundary="))
            .map(|boundary| boundary.trim_matches('"'))
            .filter(|boundary| !boundary.is_empty())
            .ok_or("a multipart form without a boundary")?;
        let delimiter = format!("--{boundary}");
        let mut rest = body;
        let mut fields = 0;
        while let Some(start) = find(rest, delimiter.as_bytes()) {
            rest = &rest[start + delimiter.len()..];
            if rest.starts_with(b"--") {
                return Ok(());
            }
            fields += 1;
            if fields > PARAMETERS_MAX {
                return Err(format!("a form with more than {PARAMETERS_MAX} fields"));
            }
            let head_end = find(rest, b"\r\n\r\n").ok_or("a field of the form without a value")?;
            let value_end = find(rest, format!("\r\n{delimiter}").as_bytes())
                .filter(|end| *end >= head_end + 4)
                .ok_or("a field of the form that does not end")?;
            let head = String::from_utf8_lossy(&rest[..head_end]);
            let value = std::str::from_utf8(&rest[head_end + 4..value_end])
                .map_err(|_| "a field of the form that is not UTF-8".to_owned())?;
            if let Some(name) = head.split("name=\"").nth(1).and_then(|rest| rest.split('"').next()) {
                self.put(name, value.to_owned());
            }
            rest = &rest[value_end + 2..];
        }
        Err("a multipart form that does not end".to_owned())
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(method: &Method, pairs: &[(&str, &str)]) -> Call {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Call::of(method, pairs, &HeaderMap::new()).unwrap()
    }

    #[test]
    fn what_the_protocol_does_not_know_is_a_setting() {
        let call = call(
            &Method::POST,
            &[("query", "SELECT {a:Int8}"), ("param_a", "1"), ("max_threads", "2"), ("user", "x"), ("database", "d")],
        );
        assert_eq!(call.query, "SELECT {a:Int8}");
        assert_eq!(call.parameters, [("a".to_owned(), "1".to_owned())]);
        assert_eq!(call.settings, [("max_threads".to_owned(), "2".to_owned())]);
        assert_eq!(call.database, "d");
    }

    #[test]
    fn a_link_only_reads() {
        assert_eq!(call(&Method::GET, &[]).settings, [("readonly".to_owned(), "2".to_owned())]);
        assert_eq!(call(&Method::GET, &[("readonly", "1")]).settings, [("readonly".to_owned(), "1".to_owned())]);
        assert_eq!(call(&Method::POST, &[]).settings, []);
    }

    #[test]
    fn a_form_carries_query_and_parameters() {
        let body = b"--x\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\nSELECT {a:String}\r\n--x\r\n\
            Content-Disposition: form-data; name=\"param_a\"\r\n\r\nline\r\nline\r\n--x--\r\n";
        let mut call = Call::default();
        call.put_form("multipart/form-data; boundary=x", body).unwrap();
        assert_eq!(call.query, "SELECT {a:String}");
        assert_eq!(call.parameters, [("a".to_owned(), "line\r\nline".to_owned())]);
    }

    #[test]
    fn half_a_form_is_refused() {
        for body in ["", "--x", "--x\r\nname=\"query\"\r\n\r\nSELECT", "--x\r\n\r\n--x\r\n"] {
            assert!(Call::default().put_form("multipart/form-data; boundary=x", body.as_bytes()).is_err(), "{body:?}");
        }
        assert!(Call::default().put_form("multipart/form-data", b"--x--").is_err());
    }
}
