//! The C interface of libchdb, the ClickHouse engine as a shared library: the part of `chdb.h` that is used here.
//!
//! In: SQL, formats, parameters and row bytes. Out: result bytes, statistics and exceptions in ClickHouse's words.
//! Guarantees: every handle that the library gives is freed exactly once; a stream borrows its connection, because
//! the library serialises the calls of one connection. Does not: look into SQL, pool, or know HTTP.
#![expect(unsafe_code, reason = "the engine is reached through its C interface, and only from this module")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;
use std::ptr::{self, NonNull};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use super::exception::Exception;

/// `chdb_connection *`: a pointer to the handle that all calls take.
type RawConnection = *mut c_void;
type RawResult = *mut c_void;
type RawInsert = *mut c_void;
type Texts = *const *const c_char;

macro_rules! functions {
    ($($name:ident($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// The library's functions. It is loaded once and never unloaded: its threads live as long as the process.
        pub(super) struct Functions { $($name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)* }

        impl Functions {
            fn find(library: &Library) -> Result<Self, String> {
                // SAFETY: the types above are those of chdb.h of the pinned version; a library that lacks one of the
                // functions is refused here.
                unsafe { Ok(Self { $($name: *library.get(stringify!($name)).map_err(|_| stringify!($name).to_owned())?,)* }) }
            }
        }
    };
}

functions! {
    chdb_version() -> *const c_char;
    chdb_connect(c_int, *mut *mut c_char) -> *mut RawConnection;
    chdb_close_conn(*mut RawConnection);
    chdb_set_signal_handlers_enabled(c_int);
    chdb_classify_query_n(RawConnection, *const c_char, usize, *const c_char, usize, *mut RawAnalysis) -> c_int;
    chdb_query_with_params_n(RawConnection, *const c_char, usize, *const c_char, usize, Texts, *const usize, Texts, *const usize, usize) -> RawResult;
    chdb_stream_query_with_params_n(RawConnection, *const c_char, usize, *const c_char, usize, Texts, *const usize, Texts, *const usize, usize) -> RawResult;
    chdb_stream_fetch_result(RawConnection, RawResult) -> RawResult;
    chdb_stream_cancel_query(RawConnection, RawResult);
    chdb_destroy_query_result(RawResult);
    chdb_result_buffer(RawResult) -> *mut c_char;
    chdb_result_length(RawResult) -> usize;
    chdb_result_elapsed(RawResult) -> f64;
    chdb_result_rows_read(RawResult) -> u64;
    chdb_result_storage_rows_read(RawResult) -> u64;
    chdb_result_storage_bytes_read(RawResult) -> u64;
    chdb_result_rows_written(RawResult) -> u64;
    chdb_result_bytes_written(RawResult) -> u64;
    chdb_result_error(RawResult) -> *const c_char;
    chdb_stream_insert_with_params_n(RawConnection, *const c_char, usize, *const c_char, usize, Texts, *const usize, Texts, *const usize, usize) -> RawInsert;
    chdb_stream_append(RawInsert, *const c_void, usize) -> c_int;
    chdb_stream_done(RawInsert) -> RawResult;
    chdb_stream_cancel_insert(RawInsert);
    chdb_stream_insert_error(RawInsert) -> *const c_char;
    chdb_destroy_insert_stream(RawInsert);
}

#[repr(C)]
struct RawAnalysis {
    struct_size: u32,
    statements: u32,
    flags: u32,
    class: u32,
}

/// Why the library cannot be used.
#[derive(Debug)]
pub(super) enum LoadError {
    Open(libloading::Error),
    /// A function that this version does not have.
    Lacks(String),
}

/// What a statement does, in the engine's own judgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    ReadOnly,
    Mutating,
    /// Changes what is outside of databases: users, functions, `system`.
    MutatingGlobal,
    /// Changes the session or the server, or writes outside of the engine (`INTO OUTFILE`).
    Control,
    /// Not parsed.
    Unknown,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Analysis {
    pub(super) statements: u32,
    pub(super) class: Class,
}

/// What a query has read and written.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Statistics {
    pub(super) read_rows: u64,
    pub(super) read_bytes: u64,
    pub(super) written_rows: u64,
    pub(super) written_bytes: u64,
    pub(super) result_rows: u64,
    pub(super) elapsed_secs: f64,
}

impl Functions {
    pub(super) fn load(path: &Path) -> Result<&'static Self, LoadError> {
        // SAFETY: loading runs the library's initialisers; libchdb's only set up its own allocator and tables.
        let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }.map_err(LoadError::Open)?;
        let functions = Self::find(&library).map_err(LoadError::Lacks)?;
        std::mem::forget(library);
        // SAFETY: takes a flag. Signals stay with this program: SIGTERM must end it cleanly.
        unsafe { (functions.chdb_set_signal_handlers_enabled)(0) };
        Ok(Box::leak(Box::new(functions)))
    }

    pub(super) fn version(&self) -> String {
        // SAFETY: returns a static C string or null.
        unsafe { text((self.chdb_version)()) }.unwrap_or_else(|| "unknown".to_owned())
    }
}

/// One session of the engine. A call blocks until the engine has answered.
pub(super) struct Connection {
    functions: &'static Functions,
    raw: NonNull<RawConnection>,
}

// SAFETY: the library locks per connection and ties nothing to the calling thread; `&mut self` on the streams keeps
// one statement at a time.
unsafe impl Send for Connection {}

impl Connection {
    /// `None` when the engine refused; it gives the reason on stderr only.
    pub(super) fn open(functions: &'static Functions, arguments: &[String]) -> Option<Self> {
        let mut texts = vec![c"clickhouse".to_owned()];
        for argument in arguments {
            texts.push(CString::new(argument.as_str()).ok()?);
        }
        let mut pointers: Vec<*mut c_char> = texts.iter().map(|text| text.as_ptr().cast_mut()).collect();
        let count = c_int::try_from(pointers.len()).ok()?;
        // SAFETY: `pointers` holds `count` C strings that live through the call; the library copies and does not
        // write them.
        let raw = NonNull::new(unsafe { (functions.chdb_connect)(count, pointers.as_mut_ptr()) })?;
        // SAFETY: a non-null answer points to a handle, which is null when the engine did not start.
        if unsafe { *raw.as_ptr() }.is_null() {
            return None;
        }
        Some(Self { functions, raw })
    }

    fn handle(&self) -> RawConnection {
        // SAFETY: `raw` stays valid until it is closed in `drop`.
        unsafe { *self.raw.as_ptr() }
    }

    pub(super) fn classify(&mut self, sql: &str) -> Option<Analysis> {
        let size = u32::try_from(size_of::<RawAnalysis>()).ok()?;
        let mut analysis = RawAnalysis { struct_size: size, statements: 0, flags: 0, class: 4 };
        // SAFETY: text with its length, no database, and a struct that tells its size.
        let state = unsafe {
            (self.functions.chdb_classify_query_n)(
                self.handle(),
                sql.as_ptr().cast(),
                sql.len(),
                ptr::null(),
                0,
                &raw mut analysis,
            )
        };
        let class = match analysis.class {
            0 => Class::ReadOnly,
            1 => Class::Mutating,
            2 => Class::MutatingGlobal,
            3 => Class::Control,
            _ => Class::Unknown,
        };
        (state == 0).then_some(Analysis { statements: analysis.statements, class })
    }

    /// Runs a statement and holds its whole result in memory.
    pub(super) fn query(
        &mut self,
        sql: &str,
        format: &str,
        parameters: &[(String, String)],
    ) -> Result<Answer, Exception> {
        let parameters = Parameters::of(parameters);
        // SAFETY: texts with their lengths that live through the call.
        let raw = unsafe {
            (self.functions.chdb_query_with_params_n)(
                self.handle(),
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
                parameters.names.as_ptr(),
                parameters.name_lengths.as_ptr(),
                parameters.values.as_ptr(),
                parameters.value_lengths.as_ptr(),
                parameters.names.len(),
            )
        };
        Answer::checked(self.functions, raw)
    }

    /// Starts a SELECT whose result comes in pieces, each a whole document of the format.
    pub(super) fn stream(
        &mut self,
        sql: &str,
        format: &str,
        parameters: &[(String, String)],
    ) -> Result<Stream<'_>, Exception> {
        let parameters = Parameters::of(parameters);
        // SAFETY: texts with their lengths that live through the call.
        let raw = unsafe {
            (self.functions.chdb_stream_query_with_params_n)(
                self.handle(),
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
                parameters.names.as_ptr(),
                parameters.name_lengths.as_ptr(),
                parameters.values.as_ptr(),
                parameters.value_lengths.as_ptr(),
                parameters.names.len(),
            )
        };
        let answer = Answer::checked(self.functions, raw)?;
        Ok(Stream { connection: self, answer, open: true })
    }

    /// Starts an INSERT without data; the rows follow by `append` in any input format.
    pub(super) fn insert(
        &mut self,
        statement: &str,
        format: &str,
        parameters: &[(String, String)],
    ) -> Result<Insert<'_>, Exception> {
        let parameters = Parameters::of(parameters);
        // SAFETY: texts with their lengths that live through the call.
        let raw = unsafe {
            (self.functions.chdb_stream_insert_with_params_n)(
                self.handle(),
                statement.as_ptr().cast(),
                statement.len(),
                format.as_ptr().cast(),
                format.len(),
                parameters.names.as_ptr(),
                parameters.name_lengths.as_ptr(),
                parameters.values.as_ptr(),
                parameters.value_lengths.as_ptr(),
                parameters.names.len(),
            )
        };
        let Some(raw) = NonNull::new(raw) else { return Err(Exception::engine("the engine gave no insert stream")) };
        let insert = Insert { connection: self, raw, open: true };
        match insert.error() {
            Some(exception) => Err(exception),
            None => Ok(insert),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: opened once, closed once; streams borrow the connection, so none is left.
        unsafe { (self.functions.chdb_close_conn)(self.raw.as_ptr()) }
    }
}

/// Pointers into `{name:Type}` parameters.
struct Parameters {
    names: Vec<*const c_char>,
    name_lengths: Vec<usize>,
    values: Vec<*const c_char>,
    value_lengths: Vec<usize>,
}

impl Parameters {
    fn of(parameters: &[(String, String)]) -> Self {
        Self {
            names: parameters.iter().map(|(name, _)| name.as_ptr().cast()).collect(),
            name_lengths: parameters.iter().map(|(name, _)| name.len()).collect(),
            values: parameters.iter().map(|(_, value)| value.as_ptr().cast()).collect(),
            value_lengths: parameters.iter().map(|(_, value)| value.len()).collect(),
        }
    }
}

/// A result with its bytes.
pub(super) struct Answer {
    functions: &'static Functions,
    raw: NonNull<c_void>,
}

// SAFETY: a result is plain memory of the library, read only after it was made.
unsafe impl Send for Answer {}

impl Answer {
    fn checked(functions: &'static Functions, raw: RawResult) -> Result<Self, Exception> {
        let Some(raw) = NonNull::new(raw) else { return Err(Exception::engine("the engine gave no result")) };
        let answer = Self { functions, raw };
        // SAFETY: the result is alive; the text is copied.
        match unsafe { text((functions.chdb_result_error)(raw.as_ptr())) } {
            Some(message) => Err(Exception::from_engine(&message)),
            None => Ok(answer),
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: buffer and length belong together and live as long as the result.
        unsafe {
            let start = (self.functions.chdb_result_buffer)(self.raw.as_ptr());
            let length = (self.functions.chdb_result_length)(self.raw.as_ptr());
            if start.is_null() || length == 0 { &[] } else { std::slice::from_raw_parts(start.cast(), length) }
        }
    }

    pub(super) fn statistics(&self) -> Statistics {
        let (functions, raw) = (self.functions, self.raw.as_ptr());
        // SAFETY: getters of a result that is alive.
        unsafe {
            Statistics {
                read_rows: (functions.chdb_result_storage_rows_read)(raw),
                read_bytes: (functions.chdb_result_storage_bytes_read)(raw),
                written_rows: (functions.chdb_result_rows_written)(raw),
                written_bytes: (functions.chdb_result_bytes_written)(raw),
                result_rows: (functions.chdb_result_rows_read)(raw),
                elapsed_secs: (functions.chdb_result_elapsed)(raw),
            }
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // SAFETY: freed once.
        unsafe { (self.functions.chdb_destroy_query_result)(self.raw.as_ptr()) }
    }
}

/// A running SELECT. Dropped before its end, it is cancelled.
pub(super) struct Stream<'connection> {
    connection: &'connection mut Connection,
    answer: Answer,
    open: bool,
}

impl Stream<'_> {
    /// The next piece, or `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Answer>, Exception> {
        if !self.open {
            return Ok(None);
        }
        // SAFETY: the stream belongs to this connection and is open.
        let raw = unsafe {
            (self.connection.functions.chdb_stream_fetch_result)(self.connection.handle(), self.answer.raw.as_ptr())
        };
        let piece = if raw.is_null() { Ok(None) } else { Answer::checked(self.connection.functions, raw).map(Some) };
        match piece {
            Ok(Some(piece)) if !piece.bytes().is_empty() => Ok(Some(piece)),
            Ok(_) => {
                self.open = false;
                Ok(None)
            }
            Err(exception) => {
                self.open = false;
                Err(exception)
            }
        }
    }
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        if self.open {
            // SAFETY: the stream belongs to this connection and was not read to its end.
            unsafe {
                (self.connection.functions.chdb_stream_cancel_query)(
                    self.connection.handle(),
                    self.answer.raw.as_ptr(),
                );
            }
        }
    }
}

/// A running INSERT. Dropped before `finish`, it is cancelled.
pub(super) struct Insert<'connection> {
    connection: &'connection mut Connection,
    raw: NonNull<c_void>,
    open: bool,
}

impl Insert<'_> {
    fn error(&self) -> Option<Exception> {
        // SAFETY: the handle is alive; the text is copied.
        unsafe { text((self.connection.functions.chdb_stream_insert_error)(self.raw.as_ptr())) }
            .map(|message| Exception::from_engine(&message))
    }

    /// Blocks while the engine is behind.
    pub(super) fn append(&mut self, rows: &[u8]) -> Result<(), Exception> {
        // SAFETY: the handle is alive; the bytes are copied by the library.
        let state = unsafe {
            (self.connection.functions.chdb_stream_append)(self.raw.as_ptr(), rows.as_ptr().cast(), rows.len())
        };
        if state == 0 {
            return Ok(());
        }
        Err(self.error().unwrap_or_else(|| Exception::engine("the engine took no more rows")))
    }

    /// The rows are stored when this returns well.
    pub(super) fn finish(mut self) -> Result<Statistics, Exception> {
        self.open = false;
        // SAFETY: finished once; the result is a new object.
        let raw = unsafe { (self.connection.functions.chdb_stream_done)(self.raw.as_ptr()) };
        Answer::checked(self.connection.functions, raw).map(|answer| answer.statistics())
    }
}

impl Drop for Insert<'_> {
    fn drop(&mut self) {
        // SAFETY: cancelled only while open, and freed once.
        unsafe {
            if self.open {
                (self.connection.functions.chdb_stream_cancel_insert)(self.raw.as_ptr());
            }
            (self.connection.functions.chdb_destroy_insert_stream)(self.raw.as_ptr());
        }
    }
}

/// A copy of a C string; `None` for null and for the empty one.
///
/// # Safety
/// The pointer is null or points to a C string.
unsafe fn text(pointer: *const c_char) -> Option<String> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: as the caller promises.
    let text = unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned();
    (!text.is_empty()).then_some(text)
}

/// Ends the process without running the library's own end, which waits for its threads.
pub(super) fn exit_at_once() -> ! {
    // SAFETY: `_exit` does not return and touches no memory.
    unsafe { libc::_exit(0) }
}
