-- A number for each tenant whose name is none (milepost.tenant), in the order of their names for those that there are;
-- `number` is still the last one given to a task.
ALTER TABLE tenant ADD COLUMN known_as INTEGER;
UPDATE tenant SET known_as = numbered.known_as
FROM (
    SELECT name, 1999999999 + row_number() OVER (ORDER BY name) AS known_as FROM tenant
    WHERE NOT (name <> '' AND name NOT GLOB '*[^0-9]*' AND (name = '0' OR name NOT GLOB '0*')
               AND length(name) <= 10 AND CAST(name AS INTEGER) < 2000000000)
) AS numbered
WHERE numbered.name = tenant.name;
CREATE UNIQUE INDEX tenant_known_as ON tenant (known_as) WHERE known_as IS NOT NULL;

-- Whether a change wrote a state or an outcome to the log: these are found without the lines between them.
ALTER TABLE log ADD COLUMN eventful INTEGER NOT NULL DEFAULT FALSE;
UPDATE log SET eventful = TRUE WHERE EXISTS (
    SELECT 1 FROM json_each(log.entries) AS entry WHERE entry.value ->> '$.kind' IN ('state', 'outcome')
);
CREATE INDEX log_eventful ON log (task, first) WHERE eventful;
