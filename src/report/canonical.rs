//! The JSON Canonicalization Scheme (RFC 8785): one value has one text, so that its bytes can be signed and compared.

use serde::Serialize;
use serde_json::Value;

use crate::error::{Error, Result};

/// Whole numbers up to here are exact in every JSON reader (RFC 7493); larger ones become strings, as RFC 8785's
/// appendix D advises.
const LARGEST_EXACT: u64 = (1 << 53) - 1;

/// The value of `document` as the report holds it. Numbers that are not finite become null, as everywhere in JSON.
pub fn value(document: &impl Serialize) -> Result<Value> {
    let mut value = serde_json::to_value(document).map_err(|e| Error::new(e.to_string()).at("the report"))?;
    large_numbers_as_strings(&mut value);
    Ok(value)
}

fn large_numbers_as_strings(value: &mut Value) {
    match value {
        Value::Number(number) => {
            let whole = number.as_i64().map(i64::unsigned_abs).or(number.as_u64());
            if whole.is_some_and(|n| n > LARGEST_EXACT) {
                *value = Value::String(number.to_string());
            }
        }
        Value::Array(items) => items.iter_mut().for_each(large_numbers_as_strings),
        Value::Object(members) => members.values_mut().for_each(large_numbers_as_strings),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// The canonical text of `value`: members sorted by UTF-16 code units, numbers as ECMAScript prints them, no blanks.
pub fn text(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        // Floating-point numbers are finite in a `Value`.
        Value::Number(number) => out.push_str(ryu_js::Buffer::new().format(number.as_f64().unwrap_or(f64::NAN))),
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by(|a, b| a.0.encode_utf16().cmp(b.0.encode_utf16()));
            out.push('{');
            for (i, (key, item)) in sorted.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_string(key, out);
                out.push(':');
                write(item, out);
            }
            out.push('}');
        }
    }
}

fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn canonical(json: &str) -> String {
        text(&serde_json::from_str(json).unwrap())
    }

    /// Sections 3.2.2 and 3.2.3 of the RFC.
    #[test]
    fn the_examples_of_the_rfc() {
        let input = r#"{
            "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
            "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
            "literals": [null, true, false] }"#;
        assert_eq!(
            canonical(input),
            "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\
             \"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}"
        );
        let keys = r#"{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One",
            "\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}"#;
        let sorted = canonical(keys);
        let order = ["Carriage Return", "One", "Control", "Latin Small", "Euro Sign", "Emoji", "Hebrew"];
        let places: Vec<_> = order.iter().map(|name| sorted.find(name).unwrap()).collect();
        assert!(places.is_sorted(), "{sorted}");
    }

    /// Appendix B of the RFC: the bits of a double and its text.
    #[test]
    fn the_numbers_of_the_rfc() {
        for (bits, expected) in [
            (0x0000_0000_0000_0000, "0"),
            (0x8000_0000_0000_0000, "0"),
            (0x0000_0000_0000_0001, "5e-324"),
            (0x8000_0000_0000_0001, "-5e-324"),
            (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0x4340_0000_0000_0000, "9007199254740992"),
            (0xc340_0000_0000_0000, "-9007199254740992"),
            (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
            (0x44b5_2d02_c7e1_4af6, "1e+23"),
            (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
            (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
            (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
            (0x444b_1ae4_d6e2_ef50, "1e+21"),
            (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
            (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
            (0x41b3_de43_5555_5553, "333333333.3333332"),
            (0x41b3_de43_5555_5554, "333333333.33333325"),
            (0x41b3_de43_5555_5555, "333333333.3333333"),
            (0x41b3_de43_5555_5556, "333333333.3333334"),
            (0x41b3_de43_5555_5557, "333333333.33333343"),
            (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
            (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
        ] {
            assert_eq!(text(&value(&f64::from_bits(bits)).unwrap()), expected);
        }
        assert_eq!(canonical("9007199254740993"), "9007199254740992");
        assert_eq!(text(&value(&f64::NAN).unwrap()), "null");
        assert_eq!(text(&value(&[u64::MAX, LARGEST_EXACT]).unwrap()), "[\"18446744073709551615\",9007199254740991]");
    }

    proptest! {
        #[test]
        fn a_number_reads_back_as_itself(x in any::<f64>().prop_filter("finite", |x| x.is_finite())) {
            let back: f64 = serde_json::from_str(&text(&value(&x).unwrap())).unwrap();
            prop_assert_eq!(back, x);
        }

        #[test]
        fn text_is_a_fixed_point(keys in prop::collection::btree_map(any::<String>(), any::<String>(), 0..6)) {
            let once = text(&value(&keys).unwrap());
            prop_assert_eq!(&canonical(&once), &once);
        }
    }
}
