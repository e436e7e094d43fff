/*
** WAL replication: statements that end soon. Included by replication.c.
**
** A thread that must stay responsive can run a statement itself when the statement is brief: made of
** operations that each take a bounded, short time, and run under a budget of such operations. What
** may take long is not brief: counting or clearing a whole tree in one operation, virtual tables,
** triggers, changes of the schema, functions other than a few.
*/

/* No value may be longer while a budget is set: what a single operation does grows with values. */
#define BRIEF_LENGTH_MAX (64*1024)

static int replIsBriefFunction(const char *zName){
  static const char *const azBrief[] = {
    "abs", "char", "coalesce", "date", "datetime", "hex", "ifnull", "iif", "instr",
    "julianday", "length", "lower", "ltrim", "max", "min", "nullif", "quote",
    "random", "round", "rtrim", "sign", "strftime", "substr", "substring", "time", "trim", "typeof",
    "unicode", "unixepoch", "upper", "count", "sum", "total", "avg", 0
  };
  return zName && replIsOneOf(zName, azBrief);
}

static int replIsBriefOp(const VdbeOp *pOp){
  switch( pOp->opcode ){
    /* Where the program goes on */
    case OP_Init: case OP_Goto: case OP_Gosub: case OP_Return: case OP_InitCoroutine:
    case OP_Yield: case OP_EndCoroutine: case OP_Jump: case OP_Once: case OP_If: case OP_IfNot:
    case OP_IfPos: case OP_IfNotZero: case OP_DecrJumpZero: case OP_Halt: case OP_HaltIfNull:
    case OP_Noop: case OP_BeginSubrtn: case OP_ReleaseReg: case OP_ResultRow: case OP_ResetCount:
    /* Only there in a build for tests */
    case OP_Abortable: case OP_Explain: case OP_TableLock:
    /* Values */
    case OP_Integer: case OP_Int64: case OP_Real: case OP_String: case OP_String8: case OP_Null:
    case OP_SoftNull: case OP_Blob: case OP_Variable: case OP_Move: case OP_Copy: case OP_SCopy:
    case OP_IntCopy: case OP_AddImm: case OP_MustBeInt: case OP_RealAffinity: case OP_Affinity:
    case OP_Cast: case OP_TypeCheck: case OP_IsType: case OP_Not: case OP_IsTrue: case OP_Or:
    case OP_And: case OP_IsNull: case OP_NotNull: case OP_Ne: case OP_Eq: case OP_Gt: case OP_Le:
    case OP_Lt: case OP_Ge: case OP_ElseEq: case OP_ZeroOrNull: case OP_BitAnd: case OP_BitOr:
    case OP_BitNot: case OP_ShiftLeft: case OP_ShiftRight: case OP_Add: case OP_Subtract:
    case OP_Multiply: case OP_Divide: case OP_Remainder: case OP_Concat: case OP_CollSeq:
    case OP_Compare: case OP_Permutation: case OP_MemMax: case OP_OffsetLimit:
    /* Tables and indexes, a row at a time */
    case OP_Transaction: case OP_OpenRead: case OP_OpenWrite: case OP_ReopenIdx: case OP_OpenPseudo:
    case OP_Close: case OP_ColumnsUsed: case OP_SeekLT: case OP_SeekLE: case OP_SeekGE:
    case OP_SeekGT: case OP_SeekRowid: case OP_SeekScan: case OP_SeekHit: case OP_SeekEnd:
    case OP_IfNoHope: case OP_NoConflict: case OP_NotFound: case OP_Found: case OP_NotExists:
    case OP_Last: case OP_Rewind: case OP_IfEmpty: case OP_IfSizeBetween: case OP_Prev: case OP_Next:
    case OP_IdxLE: case OP_IdxGT: case OP_IdxLT: case OP_IdxGE: case OP_IFindKey: case OP_IdxRowid:
    case OP_IfNullRow: case OP_NullRow: case OP_Column: case OP_Rowid: case OP_RowData:
    case OP_RowCell: case OP_MakeRecord: case OP_NewRowid: case OP_Insert: case OP_Delete:
    case OP_IdxInsert: case OP_IdxDelete: case OP_DeferredSeek: case OP_FinishSeek: case OP_Sequence:
    case OP_SequenceTest: case OP_FkIfZero: case OP_FkCounter: case OP_FkCheck:
    /* Sorting and sets: as long as what was put in, which the budget bounds */
    case OP_SorterOpen: case OP_SorterInsert: case OP_SorterSort: case OP_Sort: case OP_SorterNext:
    case OP_SorterData: case OP_SorterCompare: case OP_ResetSorter: case OP_OpenEphemeral:
    case OP_OpenDup: case OP_RowSetAdd: case OP_RowSetRead: case OP_RowSetTest:
      return 1;
    case OP_Function:
    case OP_PureFunc:
      return pOp->p4type==P4_FUNCCTX && replIsBriefFunction(pOp->p4.pCtx->pFunc->zName);
    case OP_AggStep:
    case OP_AggStep1:
    case OP_AggFinal:
      if( pOp->p4type==P4_FUNCCTX ) return replIsBriefFunction(pOp->p4.pCtx->pFunc->zName);
      return pOp->p4type==P4_FUNCDEF && replIsBriefFunction(pOp->p4.pFunc->zName);
    default:
      return 0;
  }
}

int sqlite3_wal_replication_brief(sqlite3_stmt *pStmt){
  const Vdbe *v = (const Vdbe*)pStmt;
  int i;
  if( v->explain ) return 0;
  for(i=0; i<v->nOp; i++){
    if( !replIsBriefOp(&v->aOp[i]) ) return 0;
  }
  return 1;
}

static int replBudgetSpent(void *pArg){
  UNUSED_PARAMETER(pArg);
  return 1;
}

int sqlite3_wal_replication_budget(sqlite3 *db, int nOp){
  ReplSession *p = (ReplSession*)sqlite3_get_clientdata(db, SESSION_CLIENT_NAME);
  if( p==0 ) return SQLITE_MISUSE_BKPT;
  p->bBudget = nOp>0;
  if( nOp>0 ) sqlite3_limit(db, SQLITE_LIMIT_LENGTH, BRIEF_LENGTH_MAX);
  sqlite3_progress_handler(db, nOp, nOp>0 ? replBudgetSpent : 0, 0);
  return SQLITE_OK;
}
