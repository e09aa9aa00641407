//! ClickHouse's exceptions: number, text, and the HTTP status that a ClickHouse server gives them.

use axum::http::StatusCode;

/// What the engine, or this front, has against a request, as `Code: 60. DB::Exception: … (UNKNOWN_TABLE)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Exception {
    code: u16,
    text: String,
}

impl Exception {
    pub(super) fn new(code: u16, name: &str, what: &str) -> Self {
        Self { code, text: format!("Code: {code}. DB::Exception: {what}. ({name})") }
    }

    /// A fault of the engine itself that it did not explain.
    pub(super) fn engine(what: &str) -> Self {
        Self::new(1002, "UNKNOWN_EXCEPTION", what)
    }

    /// Takes the engine's message, with or without a prefix before `Code:`.
    pub(super) fn from_engine(message: &str) -> Self {
        let Some(start) = message.find("Code: ") else { return Self::engine(message.trim()) };
        let text = message[start..].trim_end();
        let digits = text["Code: ".len()..].split(|character: char| !character.is_ascii_digit()).next().unwrap_or("");
        Self { code: digits.parse().unwrap_or(1002), text: text.to_owned() }
    }

    pub(super) fn code(&self) -> u16 {
        self.code
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The status that ClickHouse's HTTP server answers with.
    pub(super) fn status(&self) -> StatusCode {
        match self.code {
            // Cannot parse, duplicate or illegal column, bad arguments, unexpected AST, syntax, type mismatch.
            6 | 8 | 15 | 25 | 26 | 27 | 36 | 38 | 41 | 44 | 53 | 62 | 72 | 117 | 167 | 168 | 321 | 376 | 427 | 441
            | 675 | 676 => StatusCode::BAD_REQUEST,
            // Unknown function, identifier, type, storage, table, direction, aggregate, format, type of query,
            // database, setting, database engine, role.
            46 | 47 | 50 | 56 | 60 | 61 | 63 | 73 | 78 | 81 | 115 | 336 | 511 => StatusCode::NOT_FOUND,
            // Unknown user, wrong password, access denied, role not granted, authentication failed.
            192 | 193 | 497 | 512 | 516 => StatusCode::FORBIDDEN,
            48 => StatusCode::NOT_IMPLEMENTED,
            76 | 209 | 439 => StatusCode::SERVICE_UNAVAILABLE,
            159 => StatusCode::REQUEST_TIMEOUT,
            194 => StatusCode::UNAUTHORIZED,
            381 => StatusCode::LENGTH_REQUIRED,
            223 => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_read_from_the_engines_words() {
        let exception = Exception::from_engine("Error: Code: 60. DB::Exception: no table. (UNKNOWN_TABLE)\n");
        assert_eq!(exception.code(), 60);
        assert_eq!(exception.text(), "Code: 60. DB::Exception: no table. (UNKNOWN_TABLE)");
        assert_eq!(exception.status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn words_without_a_code_are_an_unknown_exception() {
        let exception = Exception::from_engine("out of luck");
        assert_eq!(exception.code(), 1002);
        assert_eq!(exception.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
