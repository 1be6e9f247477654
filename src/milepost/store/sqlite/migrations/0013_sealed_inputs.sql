-- The secrets of an input, sealed with a key that is not in the store; `body` has `***` in their place.
ALTER TABLE input ADD COLUMN sealed BLOB;
