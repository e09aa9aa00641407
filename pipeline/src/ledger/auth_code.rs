//! The code of an authorization: the place of its request, so that none is given twice.

use model::AuthCode;

/// Unique for ever: a request offset is decided once.
pub(super) fn auth_code(partition: i32, offset: i64) -> AuthCode {
    AuthCode::new(&format!("{partition}-{offset}")).expect("digits and hyphens make an identifier")
}
