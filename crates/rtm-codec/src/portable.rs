//! Whether a value has a form that both wires carry: a serializer that writes nothing.

use std::fmt::{self, Display};

use serde::{
    Serialize, Serializer,
    ser::{
        Error, Impossible, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
        SerializeTupleStruct, SerializeTupleVariant,
    },
};

use crate::value::MAX_NESTING;

/// What is wrong with a value.
#[derive(Debug)]
pub(crate) struct Unportable(pub(crate) String);

/// Looks for what would be another value at the receiver.
pub(crate) fn check<T: Serialize + ?Sized>(value: &T) -> Result<(), Unportable> {
    value.serialize(Check { level: 0 }).map(drop)
}

impl Display for Unportable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unportable {}

impl Error for Unportable {
    fn custom<T: Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

/// What a value is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Nothing, which a reader takes for `None`.
    Nil,
    Some,
}

/// Checks one value at this depth.
#[derive(Clone, Copy)]
struct Check {
    level: usize,
}

impl Check {
    fn deeper(self) -> Result<Self, Unportable> {
        if self.level == MAX_NESTING {
            return Err(Unportable(format!("it has more than {MAX_NESTING} levels")));
        }
        Ok(Self { level: self.level + 1 })
    }

    fn inside<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Unportable> {
        value.serialize(self).map(drop)
    }
}

fn finite(is: bool) -> Result<Form, Unportable> {
    if is { Ok(Form::Some) } else { Err(Unportable("it has a number that is not finite".to_owned())) }
}

fn wide() -> Unportable {
    Unportable("it has a number of 128 bits: send it as a string".to_owned())
}

macro_rules! plain {
    ($($method:ident: $type:ty => $form:expr;)*) => {$(
        fn $method(self, _: $type) -> Result<Form, Unportable> {
            Ok($form)
        }
    )*};
}

impl Serializer for Check {
    type Ok = Form;
    type Error = Unportable;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    plain! {
        serialize_bool: bool => Form::Some;
        serialize_i8: i8 => Form::Some;
        serialize_i16: i16 => Form::Some;
        serialize_i32: i32 => Form::Some;
        serialize_i64: i64 => Form::Some;
        serialize_u8: u8 => Form::Some;
        serialize_u16: u16 => Form::Some;
        serialize_u32: u32 => Form::Some;
        serialize_u64: u64 => Form::Some;
        serialize_char: char => Form::Some;
        serialize_str: &str => Form::Some;
        serialize_bytes: &[u8] => Form::Some;
        serialize_unit_struct: &'static str => Form::Nil;
    }

    fn serialize_i128(self, _: i128) -> Result<Form, Unportable> {
        Err(wide())
    }

    fn serialize_u128(self, _: u128) -> Result<Form, Unportable> {
        Err(wide())
    }

    fn serialize_f32(self, number: f32) -> Result<Form, Unportable> {
        finite(number.is_finite())
    }

    fn serialize_f64(self, number: f64) -> Result<Form, Unportable> {
        finite(number.is_finite())
    }

    fn serialize_none(self) -> Result<Form, Unportable> {
        Ok(Form::Nil)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Form, Unportable> {
        match value.serialize(self)? {
            Form::Nil => Err(Unportable("it has a `Some` of nothing, which would be read as `None`".to_owned())),
            Form::Some => Ok(Form::Some),
        }
    }

    fn serialize_unit(self) -> Result<Form, Unportable> {
        Ok(Form::Nil)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<Form, Unportable> {
        Ok(Form::Some)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<Form, Unportable> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Result<Form, Unportable> {
        self.deeper()?.inside(value).map(|()| Form::Some)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, Unportable> {
        self.deeper()
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Unportable> {
        self.deeper()
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Unportable> {
        self.deeper()
    }

    fn serialize_tuple_variant(self, _: &'static str, _: u32, _: &'static str, _: usize) -> Result<Self, Unportable> {
        self.deeper()?.deeper()
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self, Unportable> {
        self.deeper()
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Unportable> {
        self.deeper()
    }

    fn serialize_struct_variant(self, _: &'static str, _: u32, _: &'static str, _: usize) -> Result<Self, Unportable> {
        self.deeper()?.deeper()
    }
}

macro_rules! elements {
    ($($trait:ident::$method:ident;)*) => {$(
        impl $trait for Check {
            type Ok = Form;
            type Error = Unportable;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unportable> {
                self.inside(value)
            }

            fn end(self) -> Result<Form, Unportable> {
                Ok(Form::Some)
            }
        }
    )*};
}

elements! {
    SerializeSeq::serialize_element;
    SerializeTuple::serialize_element;
    SerializeTupleStruct::serialize_field;
    SerializeTupleVariant::serialize_field;
}

macro_rules! fields {
    ($($trait:ident)*) => {$(
        impl $trait for Check {
            type Ok = Form;
            type Error = Unportable;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, _: &'static str, value: &T) -> Result<(), Unportable> {
                self.inside(value)
            }

            fn end(self) -> Result<Form, Unportable> {
                Ok(Form::Some)
            }
        }
    )*};
}

fields! { SerializeStruct SerializeStructVariant }

impl SerializeMap for Check {
    type Ok = Form;
    type Error = Unportable;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Unportable> {
        key.serialize(Key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unportable> {
        self.inside(value)
    }

    fn end(self) -> Result<Form, Unportable> {
        Ok(Form::Some)
    }
}

/// Checks the key of a map.
struct Key;

fn no_key<T>() -> Result<T, Unportable> {
    Err(Unportable("it has a map key that is no string, whole number or boolean".to_owned()))
}

macro_rules! keys {
    ($($method:ident($($type:ty),*) $answer:expr;)*) => {$(
        fn $method(self, $(_: $type),*) -> Result<(), Unportable> {
            $answer
        }
    )*};
}

impl Serializer for Key {
    type Ok = ();
    type Error = Unportable;
    type SerializeSeq = Impossible<(), Unportable>;
    type SerializeTuple = Impossible<(), Unportable>;
    type SerializeTupleStruct = Impossible<(), Unportable>;
    type SerializeTupleVariant = Impossible<(), Unportable>;
    type SerializeMap = Impossible<(), Unportable>;
    type SerializeStruct = Impossible<(), Unportable>;
    type SerializeStructVariant = Impossible<(), Unportable>;

    keys! {
        serialize_bool(bool) Ok(());
        serialize_i8(i8) Ok(());
        serialize_i16(i16) Ok(());
        serialize_i32(i32) Ok(());
        serialize_i64(i64) Ok(());
        serialize_u8(u8) Ok(());
        serialize_u16(u16) Ok(());
        serialize_u32(u32) Ok(());
        serialize_u64(u64) Ok(());
        serialize_char(char) Ok(());
        serialize_str(&str) Ok(());
        serialize_unit_variant(&'static str, u32, &'static str) Ok(());
        serialize_i128(i128) Err(wide());
        serialize_u128(u128) Err(wide());
        serialize_f32(f32) no_key();
        serialize_f64(f64) no_key();
        serialize_bytes(&[u8]) no_key();
        serialize_none() no_key();
        serialize_unit() no_key();
        serialize_unit_struct(&'static str) no_key();
    }

    fn serialize_some<T: Serialize + ?Sized>(self, key: &T) -> Result<(), Unportable> {
        key.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, key: &T) -> Result<(), Unportable> {
        key.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Unportable> {
        no_key()
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, Unportable> {
        no_key()
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, Unportable> {
        no_key()
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, Unportable> {
        no_key()
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Unportable> {
        no_key()
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Unportable> {
        no_key()
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeStruct, Unportable> {
        no_key()
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Unportable> {
        no_key()
    }
}
