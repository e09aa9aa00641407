//! The parts of the Sparkplug B payload that are read or written here; prost passes over the others.

/// `org.eclipse.tahu.protobuf.Payload`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Payload {
    /// When it was sent, in milliseconds since 1970.
    #[prost(uint64, optional, tag = "1")]
    pub(super) timestamp: Option<u64>,
    #[prost(message, repeated, tag = "2")]
    pub(super) metrics: Vec<Metric>,
    #[prost(uint64, optional, tag = "3")]
    pub(super) seq: Option<u64>,
    /// Names the schema of `body`, which is not read.
    #[prost(string, optional, tag = "4")]
    pub(super) uuid: Option<String>,
}

/// An extension of Tahu's clients, outside the specification.
const COMPRESSED: &str = "SPBV1.0_COMPRESSED";

impl Payload {
    pub(super) fn is_compressed(&self) -> bool {
        self.uuid.as_deref() == Some(COMPRESSED)
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Metric {
    #[prost(string, optional, tag = "1")]
    pub(super) name: Option<String>,
    #[prost(uint64, optional, tag = "2")]
    pub(super) alias: Option<u64>,
    /// When it was measured, in milliseconds since 1970.
    #[prost(uint64, optional, tag = "3")]
    pub(super) timestamp: Option<u64>,
    #[prost(uint32, optional, tag = "4")]
    pub(super) datatype: Option<u32>,
    #[prost(bool, optional, tag = "5")]
    pub(super) is_historical: Option<bool>,
    #[prost(bool, optional, tag = "7")]
    pub(super) is_null: Option<bool>,
    #[prost(message, optional, tag = "9")]
    pub(super) properties: Option<PropertySet>,
    #[prost(oneof = "Value", tags = "10, 11, 12, 13, 14, 15")]
    pub(super) value: Option<Value>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Value {
    /// Signed types of up to 32 bits too, as two's complement.
    #[prost(uint32, tag = "10")]
    Int(u32),
    #[prost(uint64, tag = "11")]
    Long(u64),
    #[prost(float, tag = "12")]
    Float(f32),
    #[prost(double, tag = "13")]
    Double(f64),
    #[prost(bool, tag = "14")]
    Boolean(bool),
    #[prost(string, tag = "15")]
    Text(String),
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PropertySet {
    #[prost(string, repeated, tag = "1")]
    pub(super) keys: Vec<String>,
    #[prost(message, repeated, tag = "2")]
    pub(super) values: Vec<PropertyValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PropertyValue {
    #[prost(uint32, optional, tag = "3")]
    pub(super) int_value: Option<u32>,
    #[prost(uint64, optional, tag = "4")]
    pub(super) long_value: Option<u64>,
}

/// Types whose values may be negative.
const INT8: u32 = 1;
const INT16: u32 = 2;
const INT32: u32 = 3;
const INT64: u32 = 4;
pub(super) const BOOLEAN: u32 = 11;
/// `Quality` of a value that is to be believed.
const GOOD: u64 = 192;

impl Metric {
    /// Names travel in births; an empty one is none.
    pub(super) fn given_name(&self) -> Option<&str> {
        self.name.as_deref().filter(|name| !name.is_empty())
    }

    /// Whether the property `Quality` says that the value is bad or stale.
    pub(super) fn is_bad(&self) -> bool {
        let Some(properties) = &self.properties else { return false };
        let quality = properties.keys.iter().zip(&properties.values).find(|(key, _)| key.as_str() == "Quality");
        let quality = quality.and_then(|(_, value)| value.int_value.map(u64::from).or(value.long_value));
        quality.is_some_and(|quality| quality != GOOD)
    }

    /// The value, unless the metric says that there is none.
    pub(super) fn known(&self) -> Option<&Value> {
        self.value.as_ref().filter(|_| self.is_null != Some(true))
    }
}

impl Value {
    /// As a number of this Sparkplug type; `None` for text and for what is no number.
    pub(super) fn number(&self, datatype: u32) -> Option<f64> {
        #[expect(clippy::cast_possible_truncation, reason = "shorter types stand in the low bits")]
        #[expect(clippy::cast_precision_loss, reason = "no gauge counts beyond 2⁵³")]
        let number = match (self, datatype) {
            (Self::Int(bits), INT8) => f64::from((*bits as u8).cast_signed()),
            (Self::Int(bits), INT16) => f64::from((*bits as u16).cast_signed()),
            (Self::Int(bits), INT32) => f64::from(bits.cast_signed()),
            (Self::Int(number), _) => f64::from(*number),
            (Self::Long(bits), INT64) => bits.cast_signed() as f64,
            (Self::Long(number), _) => *number as f64,
            (Self::Float(number), _) => f64::from(*number),
            (Self::Double(number), _) => *number,
            (Self::Boolean(_) | Self::Text(_), _) => return None,
        };
        number.is_finite().then_some(number)
    }
}
