BEGIN TRANSACTION;
CREATE TABLE casbin_rule (
	id INTEGER NOT NULL, 
	ptype VARCHAR(255) NOT NULL, 
	v0 VARCHAR(255) NOT NULL, 
	v1 VARCHAR(255) NOT NULL, 
	v2 VARCHAR(255) NOT NULL, 
	v3 VARCHAR(255), 
	v4 VARCHAR(255), 
	v5 VARCHAR(255), 
	PRIMARY KEY (id), 
	CONSTRAINT casbin_rule_holds_role_assignments CHECK ((ptype = 'g' AND v3 IS NULL AND v4 IS NULL) OR (ptype = 'gt' AND (v3 IS NOT NULL OR v4 IS NOT NULL)) OR ptype = 'gm')
);
INSERT INTO "casbin_rule" VALUES(1,'g','user:ann','admin','acme',NULL,NULL,NULL);
INSERT INTO "casbin_rule" VALUES(2,'g','user:bo','user','acme',NULL,NULL,NULL);
INSERT INTO "casbin_rule" VALUES(3,'g','user:bo','lead','acme/support',NULL,NULL,NULL);
CREATE TABLE klausel_assignment_log (
	number INTEGER NOT NULL, 
	microseconds INTEGER NOT NULL, 
	kind VARCHAR(255) NOT NULL, 
	actor VARCHAR(255), 
	reason VARCHAR(1000), 
	ticket VARCHAR(255), 
	channel VARCHAR(255) NOT NULL, 
	caller VARCHAR(255), 
	request_id VARCHAR(255), 
	granted INTEGER NOT NULL, 
	revoked INTEGER NOT NULL, 
	rows_digest VARCHAR(255) NOT NULL, 
	revision VARCHAR(255) NOT NULL, 
	previous VARCHAR(255) NOT NULL, 
	hash VARCHAR(255) NOT NULL, 
	PRIMARY KEY (number)
);
INSERT INTO "klausel_assignment_log" VALUES(1,1795869589897644,'begins',NULL,NULL,NULL,'python',NULL,NULL,0,0,'4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945','994dc389-0','0000000000000000000000000000000000000000000000000000000000000000','27632e4d9ff3168c0e26f132a8aa5219618fe450f684b59d06652851df852192');
INSERT INTO "klausel_assignment_log" VALUES(2,1795869589933810,'change','cara',NULL,NULL,'python',NULL,NULL,2,0,'770e5f662d5083c2a131f6c17c040e1c4b110b92624e1d1a4df1d0d4bd72a652','994dc389-1','27632e4d9ff3168c0e26f132a8aa5219618fe450f684b59d06652851df852192','8a1521717c7ce7b0b960439b4b61461c8e88ba7b65812a200fe4a209709493f1');
INSERT INTO "klausel_assignment_log" VALUES(3,1795869589955223,'change',NULL,NULL,NULL,'python',NULL,NULL,2,0,'478abc1daaf052cfae8ccfce922eda12f204a3feabad7173a80869614c233248','994dc389-2','8a1521717c7ce7b0b960439b4b61461c8e88ba7b65812a200fe4a209709493f1','9f32b0cc3b4be368451eb8e0478b4b1e5fbe1816e628433d1656ef2c50f2a1b6');
INSERT INTO "klausel_assignment_log" VALUES(4,1795869589967876,'change',NULL,NULL,NULL,'python',NULL,NULL,0,1,'d0287ed9698e0c51c2671fc5a238a253b964417653f84d194d649e053008e164','994dc389-3','9f32b0cc3b4be368451eb8e0478b4b1e5fbe1816e628433d1656ef2c50f2a1b6','913fe190c34d4e4af1f7eda2bdcfe855f2c7e9d54661ffe10de66bb1e4c2447a');
CREATE TABLE klausel_assignment_log_row (
	number INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	sign SMALLINT NOT NULL, 
	subject VARCHAR(255) NOT NULL, 
	role VARCHAR(255) NOT NULL, 
	domain VARCHAR(255) NOT NULL, 
	starts VARCHAR(255), 
	ends VARCHAR(255), 
	PRIMARY KEY (number, position)
)
 WITHOUT ROWID

;
INSERT INTO "klausel_assignment_log_row" VALUES(2,0,1,'user:ann','admin','acme',NULL,NULL);
INSERT INTO "klausel_assignment_log_row" VALUES(3,0,1,'user:bo','lead','acme/support',NULL,NULL);
INSERT INTO "klausel_assignment_log_row" VALUES(2,1,1,'user:bo','user','acme',NULL,NULL);
INSERT INTO "klausel_assignment_log_row" VALUES(3,1,1,'user:cy','user','acme',NULL,NULL);
INSERT INTO "klausel_assignment_log_row" VALUES(4,0,-1,'user:cy','user','acme',NULL,NULL);
CREATE TABLE klausel_change (
	revision INTEGER NOT NULL, 
	subject VARCHAR(255) NOT NULL, 
	PRIMARY KEY (revision, subject)
);
INSERT INTO "klausel_change" VALUES(1,'user:ann');
INSERT INTO "klausel_change" VALUES(1,'user:bo');
INSERT INTO "klausel_change" VALUES(2,'user:bo');
INSERT INTO "klausel_change" VALUES(2,'user:cy');
INSERT INTO "klausel_change" VALUES(3,'user:cy');
CREATE TABLE klausel_state (
	id INTEGER NOT NULL, 
	schema_version INTEGER NOT NULL, 
	lineage VARCHAR(32) NOT NULL, 
	revision INTEGER NOT NULL, 
	log_starts_after INTEGER NOT NULL, 
	PRIMARY KEY (id), 
	CONSTRAINT klausel_state_is_one_row CHECK (id = 1)
);
INSERT INTO "klausel_state" VALUES(1,4,'994dc389',3,0);
CREATE INDEX casbin_rule_by_domain ON casbin_rule (v2, v1, v0);
CREATE INDEX casbin_rule_of_groups ON casbin_rule (v2, v1, v0) WHERE v0 >= 'group:' AND v0 < 'group;';
CREATE UNIQUE INDEX casbin_rule_once ON casbin_rule (v0, v1, v2);
CREATE INDEX casbin_rule_by_role ON casbin_rule (v1, v0, v2);
CREATE INDEX casbin_rule_by_end ON casbin_rule (v4) WHERE ptype <> 'g';
CREATE INDEX casbin_rule_with_times ON casbin_rule (v0) WHERE ptype <> 'g';
CREATE INDEX klausel_assignment_log_by_time ON klausel_assignment_log (microseconds);
CREATE TRIGGER klausel_assignment_log_no_update BEFORE update ON klausel_assignment_log BEGIN SELECT RAISE(ABORT, 'the change log of role assignments is append-only'); END;
CREATE TRIGGER klausel_assignment_log_no_delete BEFORE delete ON klausel_assignment_log BEGIN SELECT RAISE(ABORT, 'the change log of role assignments is append-only'); END;
CREATE TRIGGER klausel_assignment_log_no_replace BEFORE insert ON klausel_assignment_log WHEN EXISTS (SELECT 1 FROM klausel_assignment_log WHERE number = NEW.number) BEGIN SELECT RAISE(ABORT, 'the change log of role assignments is append-only'); END;
CREATE INDEX klausel_assignment_log_row_by_subject ON klausel_assignment_log_row (subject, role, domain, number, sign, starts, ends);
CREATE TRIGGER klausel_assignment_log_row_no_update BEFORE update ON klausel_assignment_log_row BEGIN SELECT RAISE(ABORT, 'the change log of role assignments is append-only'); END;
CREATE TRIGGER klausel_assignment_log_row_no_delete BEFORE delete ON klausel_assignment_log_row BEGIN SELECT RAISE(ABORT, 'the change log of role assignments is append-only'); END;
CREATE TRIGGER klausel_assignment_log_row_no_replace BEFORE insert ON klausel_assignment_log_row WHEN EXISTS (SELECT 1 FROM klausel_assignment_log_row WHERE number = NEW.number AND position = NEW.position) BEGIN SELECT RAISE(ABORT, 'the change log of role assignments is append-only'); END;
CREATE TRIGGER casbin_rule_noted_insert BEFORE insert ON casbin_rule WHEN NOT EXISTS (SELECT 1 FROM klausel_change WHERE revision = -1) BEGIN UPDATE klausel_state SET revision = revision + 1, log_starts_after = max(log_starts_after, revision + 1 - 500); DELETE FROM klausel_change WHERE revision <= (SELECT log_starts_after FROM klausel_state); INSERT INTO klausel_change (revision, subject) SELECT (SELECT revision FROM klausel_state), subject FROM (SELECT NEW.v0 AS subject UNION SELECT v0 FROM casbin_rule WHERE id = NEW.id); END;
CREATE TRIGGER casbin_rule_noted_update BEFORE update ON casbin_rule WHEN NOT EXISTS (SELECT 1 FROM klausel_change WHERE revision = -1) BEGIN UPDATE klausel_state SET revision = revision + 1, log_starts_after = max(log_starts_after, revision + 1 - 500); DELETE FROM klausel_change WHERE revision <= (SELECT log_starts_after FROM klausel_state); INSERT INTO klausel_change (revision, subject) SELECT (SELECT revision FROM klausel_state), subject FROM (SELECT OLD.v0 AS subject UNION SELECT NEW.v0 UNION SELECT v0 FROM casbin_rule WHERE id = NEW.id); END;
CREATE TRIGGER casbin_rule_noted_delete BEFORE delete ON casbin_rule WHEN NOT EXISTS (SELECT 1 FROM klausel_change WHERE revision = -1) BEGIN UPDATE klausel_state SET revision = revision + 1, log_starts_after = max(log_starts_after, revision + 1 - 500); DELETE FROM klausel_change WHERE revision <= (SELECT log_starts_after FROM klausel_state); INSERT INTO klausel_change (revision, subject) SELECT (SELECT revision FROM klausel_state), subject FROM (SELECT OLD.v0 AS subject); END;
COMMIT;
